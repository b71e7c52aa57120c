use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    super::{IMAGE, Options, Target, copy, in_place, options::Identity},
    CART, ID, identity, manifest, options,
};
use crate::{
    cluster::no_fields,
    dto::{DeployDns, DeployMode, DeployOptions, DeployPlace, DeployWay},
};

fn made_copy(text: &str, way: DeployWay) -> Value {
    copy::copy(
        &manifest(text),
        &options(DeployPlace::Copy, way),
        &identity(false),
        ID,
        ("egret-session-0123abcd", "uid"),
    )
}

fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    let mut all = list.as_array().unwrap().iter();
    all.find(|each| each["name"] == name).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|each| each["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_copy_is_one_pod_that_nothing_selects_with_the_workloads_own_program() {
    let copy = made_copy(CART, DeployWay::Capture);
    assert_eq!(copy["metadata"]["name"], "cart-egret-0123abcd");
    assert_eq!(copy["metadata"]["ownerReferences"][0]["kind"], "ConfigMap");
    let spec = &copy["spec"];
    assert_eq!(spec["replicas"], 1);
    let template = &spec["template"];
    let labels = template["metadata"]["labels"].as_object().unwrap();
    assert!(
        !labels.contains_key("app") && !labels.contains_key("version"),
        "{labels:?}"
    );
    for (key, value) in spec["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&labels[key], value, "the copy selects its own pod");
    }
    assert_eq!(labels["sidecar.istio.io/inject"], "false");
    let pod = &template["spec"];
    assert_eq!(
        (&pod["serviceAccountName"], &pod["imagePullSecrets"][0]["name"]),
        (&json!("cart"), &json!("registry"))
    );
    assert_eq!(
        names(&pod["initContainers"]),
        ["egret-proxy", "egret-capture", "migrate"]
    );
    let app = named(&pod["containers"], "app");
    assert_eq!(app["ports"], json!([{"containerPort": 8080}]));
    assert_eq!(app["env"][0]["valueFrom"]["secretKeyRef"]["name"], "cart");
    assert_eq!(
        named(&pod["volumes"], "data")["emptyDir"],
        json!({}),
        "two pods never have one claim"
    );
    assert_eq!(named(&pod["volumes"], "settings")["configMap"]["name"], "cart");
    assert_eq!(pod.get("nodeName"), None);
    let left_out = copy::leaves_out(&manifest(CART)).join(" ");
    assert!(
        left_out.contains("data") && left_out.contains("ports of the node"),
        "{left_out}"
    );
}

#[test]
fn the_claims_of_a_stateful_set_are_empty_volumes_in_its_copy() {
    let text = CART.replace("kind: Deployment", "kind: StatefulSet").replace(
        "  replicas: 3\n",
        "  replicas: 3\n  volumeClaimTemplates: [{metadata: {name: store}, spec: {accessModes: [ReadWriteOnce]}}]\n",
    );
    let copy = made_copy(&text, DeployWay::Capture);
    assert_eq!(copy["kind"], "Deployment");
    assert_eq!(
        named(&copy["spec"]["template"]["spec"]["volumes"], "store")["emptyDir"],
        json!({})
    );
}

#[test]
fn a_sidecar_of_istio_that_stands_in_the_manifest_is_not_copied() {
    let text = CART.replace(
        "      - name: app\n",
        "      - {name: istio-proxy, image: 'proxyv2:1.31'}\n      - name: app\n",
    );
    let text = text.replace(
        "initContainers: [",
        "initContainers: [{name: istio-init, image: 'proxyv2:1.31'}, ",
    );
    let pod = made_copy(&text, DeployWay::Capture)["spec"]["template"]["spec"].clone();
    assert_eq!(names(&pod["containers"]), ["app"]);
    assert_eq!(
        names(&pod["initContainers"]),
        ["egret-proxy", "egret-capture", "migrate"]
    );
}

#[test]
fn the_sidecar_runs_without_rights_and_only_the_redirection_has_one() {
    let pod = made_copy(CART, DeployWay::Capture)["spec"]["template"]["spec"].clone();
    let (proxy, capture) = (
        named(&pod["initContainers"], "egret-proxy"),
        named(&pod["initContainers"], "egret-capture"),
    );
    for (container, user, added) in [(proxy, 1339, json!(null)), (capture, 0, json!(["NET_ADMIN"]))] {
        let security = &container["securityContext"];
        assert_eq!(security["runAsUser"], user);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(security["capabilities"]["add"], added);
        assert_eq!(
            (
                &security["readOnlyRootFilesystem"],
                &security["allowPrivilegeEscalation"]
            ),
            (&json!(true), &json!(false))
        );
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        let token = named(&container["volumeMounts"], "egret-no-token");
        assert_eq!(token["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    }
    assert_eq!(proxy["restartPolicy"], "Always");
    let said = proxy["args"].to_string();
    assert!(
        said.contains("--labels=app=cart,version=v1") && said.contains("--namespace=shop"),
        "{said}"
    );
    assert!(said.contains("--istio-version=1.30") && !said.contains("--observe"));
    let said = capture["args"].to_string();
    assert!(
        said.contains("--exclude-ranges=10.0.0.0/8") && said.contains("--exclude-ports=5432"),
        "{said}"
    );
    assert!(
        !said.contains("include-ranges"),
        "all is captured where nothing says otherwise: {said}"
    );
}

#[test]
fn istios_own_connections_are_left_alone_where_it_stands_beside() {
    let users = |beside: bool| {
        let options = options(DeployPlace::Workload, DeployWay::Capture);
        let injection = in_place::injection(&manifest(CART), &options, &identity(beside), ID);
        let init = &injection["spec"]["template"]["spec"]["initContainers"];
        named(init, "egret-capture")["args"].to_string()
    };
    assert!(users(true).contains("--uid=1339,1337"));
    assert!(users(false).contains("--uid=1339\""));
}

#[test]
fn dns_is_captured_where_the_configuration_or_a_choice_says_so_and_the_sidecar_is_told_of_the_choice() {
    let arguments = |captures_dns: bool, dns_capture: Option<bool>, way: DeployWay| {
        let mut identity = Identity {
            captures_dns,
            ..identity(false)
        };
        identity.workload.dns_capture = dns_capture;
        let injection = in_place::injection(&manifest(CART), &options(DeployPlace::Workload, way), &identity, ID);
        let init = injection["spec"]["template"]["spec"]["initContainers"]
            .as_array()
            .unwrap();
        init.iter().map(|each| each["args"].to_string()).collect::<String>()
    };
    let leads = ["--dns=127.0.0.1:15953", "--dns=[::1]:15953", "--dns-port=15953"];
    for (captured, chosen, way, told) in [
        (true, None, DeployWay::Capture, None),
        (true, Some(true), DeployWay::Capture, Some("--dns-capture=true")),
        (false, None, DeployWay::Capture, None),
        (false, Some(false), DeployWay::Capture, Some("--dns-capture=false")),
        (true, None, DeployWay::Proxy, None),
    ] {
        let all = arguments(captured, chosen, way);
        for option in leads {
            assert_eq!(all.contains(option), captured && way == DeployWay::Capture, "{all}");
        }
        assert_eq!(all.contains("--dns-capture"), told.is_some(), "{all}");
        assert!(told.is_none_or(|told| all.contains(told)), "{all}");
    }
}

#[test]
fn dns_cannot_be_captured_where_nothing_is_redirected() {
    let asked = |way, dns| {
        Options::read(DeployOptions {
            kind: "Deployment".into(),
            workload: "shop/cart".into(),
            mode: DeployMode::Enforce,
            place: DeployPlace::Copy,
            way,
            dns,
            image: IMAGE.into(),
            staged: false,
        })
    };
    let fault = asked(DeployWay::Proxy, DeployDns::On).unwrap_err();
    assert!(fault.message.contains("DNS is captured by redirecting it"), "{fault:?}");
    assert!(asked(DeployWay::Proxy, DeployDns::Off).is_ok());
    assert_eq!(
        asked(DeployWay::Capture, DeployDns::On).unwrap().dns_capture(),
        Some(true)
    );
}

#[test]
fn what_is_applied_to_a_workload_names_nothing_of_its_own() {
    let options = options(DeployPlace::Workload, DeployWay::Capture);
    let injection = in_place::injection(&manifest(CART), &options, &identity(true), ID);
    let spec = injection["spec"].as_object().unwrap();
    assert_eq!(spec.keys().collect::<Vec<_>>(), ["template"]);
    let pod = &injection["spec"]["template"]["spec"];
    assert_eq!(
        pod.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["initContainers", "volumes"]
    );
    assert!(names(&pod["volumes"]).iter().all(|name| name.starts_with("egret-")));
    let empty = no_fields("Deployment", "shop", "cart");
    assert_eq!(empty["metadata"], json!({"name": "cart", "namespace": "shop"}));
    assert_eq!(empty.get("spec"), None);
}

#[test]
fn without_redirection_programs_are_told_of_the_proxy_and_no_right_is_needed() {
    let pod = made_copy(CART, DeployWay::Proxy)["spec"]["template"]["spec"].clone();
    assert_eq!(names(&pod["initContainers"]), ["egret-proxy", "migrate"]);
    assert!(!pod.to_string().contains("NET_ADMIN"));
    let variables = &named(&pod["containers"], "app")["env"];
    assert_eq!(
        named(variables, "HTTP_PROXY")["value"],
        "http://127.0.0.1:15902",
        "its own is replaced in a copy"
    );
    assert_eq!(names(variables).iter().filter(|name| **name == "HTTP_PROXY").count(), 1);
    assert_eq!(
        in_place::own_proxy_variable(&manifest(CART)).as_deref(),
        Some("HTTP_PROXY")
    );
}

#[test]
fn a_name_that_the_window_would_not_send_is_refused() {
    for (kind, workload) in [
        ("Pod", "shop/cart"),
        ("Deployment", "cart"),
        ("Deployment", "shop/../../nodes"),
        ("Deployment", "shop/cart?x"),
        ("Deployment", "/cart"),
        ("Deployment", &format!("shop/{}", "a".repeat(254))),
    ] {
        assert!(Target::read(kind, workload).is_err(), "{kind} {workload}");
    }
    let long = format!("shop/{}", "a".repeat(80));
    let target = Target::read("Deployment", &long).unwrap();
    assert!(super::super::names::copy(&target, ID).len() <= 63);
}

#[test]
fn the_manifests_of_the_bundled_example_can_be_copied() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy-core/examples/playground/sleep.yaml");
    let text = fs::read(example).unwrap();
    let documents = proxy_core::yaml::read(&text).unwrap();
    let deployment = documents
        .iter()
        .map(|each| each.to_json())
        .find(|each| each["kind"] == "Deployment")
        .unwrap();
    let options = Options {
        target: Target::read("Deployment", "default/sleep").unwrap(),
        ..options(DeployPlace::Copy, DeployWay::Capture)
    };
    let copy = copy::copy(
        &deployment,
        &options,
        &identity(false),
        ID,
        ("egret-session-0123abcd", "uid"),
    );
    assert_eq!(copy["metadata"]["namespace"], "default");
}
