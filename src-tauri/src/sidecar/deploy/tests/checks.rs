use proxy_core::policy::DataPlane;

use super::{
    super::{Found, IMAGE, Policy, Prepared, checks, policy::Allocated},
    CART, ID, identity, manifest, mirror, options,
};
use crate::{
    cluster::{Node, Nodes, Refusal},
    dto::{CheckOutcome, DeployPlace, DeployWay},
    sidecar::delivery::Ways,
};

fn prepared(place: DeployPlace, way: DeployWay, manifest_text: &str) -> Prepared {
    let (_folder, view) = mirror(0);
    let options = options(place, way);
    Prepared {
        identity: identity(false),
        live: serde_json::from_value(manifest(manifest_text)).unwrap(),
        policy: Policy::of(&view, None, &options.target, Allocated::LeftOut).unwrap(),
        id: ID.into(),
        token: "s3cret".into(),
        pod: (place == DeployPlace::Pod).then(|| "cart-1".to_string()),
        options,
    }
}

/// One node is all nodes.
fn all(node: Node) -> Nodes {
    Nodes {
        seen: vec![node],
        are_all: true,
    }
}

fn found() -> Found<'static> {
    Found {
        version: "v1.33.1".into(),
        missing: None,
        refusal: None,
        plane: DataPlane::Sidecar { revision: "" },
        manager: None,
        unable: None,
        injected: None,
        nodes: Some(all(Node {
            images: 1,
            image_names: vec![IMAGE.into()],
            ..Node::default()
        })),
        ways: Ways::into(None, "any"),
        brought: false,
        disruptions: Some(Vec::new()),
    }
}

/// What refuses it, by title.
fn refused(prepared: &Prepared, found: &Found<'_>) -> Vec<String> {
    let all = checks(prepared, found).into_iter();
    all.filter(|check| check.outcome == CheckOutcome::Refused)
        .map(|check| check.title)
        .collect()
}

#[test]
fn nothing_is_refused_that_can_be_done() {
    for place in [DeployPlace::Copy, DeployPlace::Workload] {
        assert_eq!(
            refused(&prepared(place, DeployWay::Capture, CART), &found()),
            Vec::<String>::new()
        );
    }
}

#[test]
fn what_is_added_is_told_without_the_part_of_its_name_that_a_start_draws_anew() {
    let adds = |place| prepared(place, DeployWay::Capture, CART).adds().join("; ");
    let copy = adds(DeployPlace::Copy);
    assert!(
        copy.contains("egret-session-…:") && copy.contains("cart-egret-…:"),
        "{copy}"
    );
    assert!(!copy.contains(ID));
    assert!(adds(DeployPlace::Workload).contains("Deployment cart: containers"));
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_touched() {
    let in_place = || prepared(DeployPlace::Workload, DeployWay::Capture, CART);
    let with = |change: &dyn Fn(&mut Found<'static>)| {
        let mut found = found();
        change(&mut found);
        refused(&in_place(), &found)
    };
    assert_eq!(with(&|found| found.version = "v1.28.4+k3s1".into()), ["Kubernetes"]);
    assert_eq!(with(&|found| found.missing = Some("needs x".into())), ["Permissions"]);
    assert_eq!(
        with(&|found| found.plane = DataPlane::Ambient { because: "label" }),
        ["Istio"]
    );
    assert_eq!(with(&|found| found.unable = Some("is paused.".into())), ["Rollout"]);
    assert_eq!(with(&|found| found.injected = Some("ab".into())), ["Rollout"]);
    assert_eq!(with(&|found| found.nodes = Some(all(Node::default()))), ["Image"]);
    let brought = with(&|found| (found.nodes, found.brought) = (Some(all(Node::default())), true));
    assert!(
        brought.is_empty(),
        "a node names an image some time after it was given it"
    );
    let proxy = prepared(DeployPlace::Workload, DeployWay::Proxy, CART);
    assert_eq!(refused(&proxy, &found()), ["HTTP proxy variables"]);
    let host = CART.replace("serviceAccountName", "hostNetwork: true\n      serviceAccountName");
    for place in [DeployPlace::Copy, DeployPlace::Workload] {
        assert_eq!(
            refused(&prepared(place, DeployWay::Capture, &host), &found()),
            ["Network"]
        );
    }
    let none = CART.replace("replicas: 3", "replicas: 0");
    assert_eq!(
        refused(&prepared(DeployPlace::Workload, DeployWay::Capture, &none), &found()),
        ["Rollout"]
    );
    assert!(refused(&prepared(DeployPlace::Copy, DeployWay::Capture, &none), &found()).is_empty());
}

#[test]
fn where_pod_security_forbids_redirecting_the_other_way_is_offered() {
    let refusal = Refusal {
        code: 403,
        words: "pods \"cart-\" is forbidden: violates PodSecurity \"restricted:latest\": unrestricted capabilities"
            .into(),
    };
    let found = Found {
        refusal: Some(refusal),
        ..found()
    };
    let all = checks(&prepared(DeployPlace::Copy, DeployWay::Capture, CART), &found);
    let first = &all[0];
    assert_eq!(
        (first.title.as_str(), first.outcome),
        ("Admission", CheckOutcome::Refused),
        "what refuses comes first"
    );
    assert!(
        first.text.contains("violates PodSecurity"),
        "in the words of who refuses"
    );
    assert!(first.advice.as_deref().unwrap().contains("HTTP proxy variables"));
}

#[test]
fn whose_dns_is_captured_and_why_is_said_before_and_what_leaving_it_alone_means() {
    let dns = |asks, captures, beside, way| {
        let mut prepared = prepared(DeployPlace::Workload, way, CART);
        let identity = &mut prepared.identity;
        (identity.asks_for_dns, identity.captures_dns, identity.beside_istio) = (asks, captures, beside);
        let check = checks(&prepared, &found())
            .into_iter()
            .find(|check| check.title == "DNS");
        check.map(|check| (check.outcome, check.text))
    };
    let said = |outcome, words: &str, check: Option<(CheckOutcome, String)>| {
        let (found, text) = check.unwrap();
        assert!(found == outcome && text.contains(words), "{found:?} {text}");
    };
    let redirected = DeployWay::Capture;
    said(
        CheckOutcome::Fine,
        "as ISTIO_META_DNS_CAPTURE says",
        dns(true, true, false, redirected),
    );
    said(CheckOutcome::Fine, "as chosen", dns(false, true, false, redirected));
    said(
        CheckOutcome::Warning,
        "are not told apart",
        dns(true, false, false, redirected),
    );
    said(
        CheckOutcome::Warning,
        "Istio's sidecar beside it",
        dns(true, false, true, redirected),
    );
    said(
        CheckOutcome::Warning,
        "nothing is redirected",
        dns(true, true, false, DeployWay::Proxy),
    );
    assert_eq!(dns(false, false, true, redirected), None);
}

#[test]
fn what_stays_in_a_pod_that_runs_is_said_before_and_variables_cannot_reach_it() {
    let attached = prepared(DeployPlace::Pod, DeployWay::Capture, CART);
    let all = checks(&attached, &found());
    let pod = all.iter().find(|check| check.title == "Pod").unwrap();
    assert_eq!(pod.outcome, CheckOutcome::Warning);
    assert!(
        pod.text.contains("cart-1") && pod.text.contains("stay in the pod's spec"),
        "{pod:?}"
    );
    assert!(
        attached.adds()[1].contains("egret-capture-0123abcd"),
        "{:?}",
        attached.adds()
    );
    let proxy = prepared(DeployPlace::Pod, DeployWay::Proxy, CART);
    assert_eq!(refused(&proxy, &found()), ["HTTP proxy variables"]);
}

#[test]
fn what_is_added_to_a_pod_that_runs_has_only_fields_that_an_ephemeral_container_may_have() {
    let (sidecar, capture) = prepared(DeployPlace::Pod, DeployWay::Capture, CART).attached();
    for container in [&sidecar, &capture] {
        for field in ["restartPolicy", "startupProbe", "resources", "volumeMounts", "ports"] {
            assert!(container.get(field).is_none(), "{field}: {container}");
        }
    }
    let arguments = sidecar["args"].to_string();
    assert!(
        arguments.contains("--policy=/policy") && !arguments.contains("--keep"),
        "{arguments}"
    );
    assert_eq!(
        sidecar["securityContext"]["capabilities"],
        serde_json::json!({"drop": ["ALL"]})
    );
    let arguments = capture["args"].to_string();
    assert!(arguments.starts_with(r#"["capture","hold""#), "{arguments}");
}
