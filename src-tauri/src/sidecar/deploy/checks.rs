//! What stands in the way, worked out from what was found: nothing is touched before a person has seen it.

mod traffic;

use proxy_core::policy::DataPlane;
use serde_json::Value;

use super::{
    copy, image,
    image::There,
    options::{IMAGE, Options},
    prepare::Prepared,
};
use crate::{
    cluster::{Disruption, Nodes, Refusal, registry},
    dto::{CheckOutcome, DeployCheck, DeployMode, DeployPlace, DeployWay},
    sidecar::delivery::Ways,
};

/// Native sidecars are on since this minor version of Kubernetes.
const NATIVE: u32 = 29;
/// And ephemeral containers since this one.
const EPHEMERAL: u32 = 25;

/// What was asked of the cluster.
#[derive(Debug)]
pub struct Found<'w> {
    /// `v1.33.1`.
    pub version: String,
    /// Permissions that are missing, as `needs … in …`.
    pub missing: Option<String>,
    /// What the API server has against it; not asked where permissions are missing.
    pub refusal: Option<Refusal>,
    pub plane: DataPlane<'w>,
    /// A tool that manages the workload, and what it does with a change.
    pub manager: Option<(String, String)>,
    /// Why the workload would not roll.
    pub unable: Option<String>,
    /// The session whose sidecar is in the workload already.
    pub injected: Option<String>,
    pub nodes: Option<Nodes>,
    /// How the image gets to them.
    pub ways: Ways,
    /// They were just given it.
    pub brought: bool,
    pub disruptions: Option<Vec<Disruption>>,
}

impl Found<'_> {
    /// All nodes say that they have the image.
    pub fn has_image(&self, image: &str) -> bool {
        let nodes = self.nodes.as_ref();
        nodes.is_some_and(|nodes| image::there(nodes, image) == There::Everywhere)
    }
}

/// All checks, what refuses first.
pub fn checks(prepared: &Prepared, found: &Found<'_>) -> Vec<DeployCheck> {
    let workload = &prepared.live.data;
    let options = &prepared.options;
    let mut all = vec![permissions(found), version(&found.version, options.place)];
    all.extend(traffic::network(workload));
    all.extend(admission(options, found));
    all.push(istio(prepared, found.plane));
    all.push(nodes(&options.image, found));
    match options.place {
        DeployPlace::Copy => all.push(second(workload)),
        DeployPlace::Pod => all.push(pod(prepared, found)),
        DeployPlace::Workload => {
            all.push(rollout(workload, found));
            all.push(manager(found.manager.as_ref()));
            all.push(disruption(found.disruptions.as_deref()));
        }
    }
    if options.way == DeployWay::Proxy {
        all.push(traffic::variables(workload, options.place));
    }
    all.extend(traffic::dns(prepared));
    if options.mode == DeployMode::Observe {
        all.push(fine(
            "Mode",
            "Everything passes; each flow is recorded with the verdict that it would get.",
        ));
    }
    all.sort_by_key(|check| check.outcome != CheckOutcome::Refused);
    all
}

fn check(title: &str, outcome: CheckOutcome, text: impl Into<String>) -> DeployCheck {
    DeployCheck {
        title: title.into(),
        outcome,
        text: text.into(),
        advice: None,
        command: None,
    }
}

fn fine(title: &str, text: impl Into<String>) -> DeployCheck {
    check(title, CheckOutcome::Fine, text)
}

impl DeployCheck {
    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

fn permissions(found: &Found<'_>) -> DeployCheck {
    match &found.missing {
        None => fine("Permissions", "All that it needs is allowed."),
        Some(missing) => check("Permissions", CheckOutcome::Refused, format!("This {missing}."))
            .advice("Copy the Role YAML, and hand it to whoever administers the cluster."),
    }
}

fn version(version: &str, place: DeployPlace) -> DeployCheck {
    let (since, what) = match place {
        DeployPlace::Copy | DeployPlace::Workload => (
            NATIVE,
            "native sidecars: a container that starts before all others and ends after them",
        ),
        DeployPlace::Pod => (
            EPHEMERAL,
            "ephemeral containers: those that are added to a pod that runs",
        ),
    };
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().map(digits), parts.next().map(digits));
    let minor: Option<u32> = minor.and_then(|minor| minor.parse().ok());
    match (major.as_deref(), minor) {
        (Some("1"), Some(minor)) if minor < since => {
            check("Kubernetes", CheckOutcome::Refused, format!("{version} has no {what}.")).advice(format!(
                "They are there since 1.{since}. Use the sandbox of this computer."
            ))
        }
        (Some(_), Some(_)) => fine(
            "Kubernetes",
            format!("{version} has {}.", what.split(':').next().unwrap_or(what)),
        ),
        _ => check(
            "Kubernetes",
            CheckOutcome::Unknown,
            format!("The version {version} cannot be read."),
        ),
    }
}

fn admission(options: &Options, found: &Found<'_>) -> Option<DeployCheck> {
    if found.missing.is_some() {
        return None;
    }
    let Some(refusal) = &found.refusal else {
        return Some(fine(
            "Admission",
            "The API server would take it: tried with a dry run, and with one of a pod, for Pod Security, webhooks and quota.",
        ));
    };
    let refused = check("Admission", CheckOutcome::Refused, refusal.words.clone());
    let security = refusal.words.contains("PodSecurity") && options.way == DeployWay::Capture;
    Some(if security {
        refused.advice(match options.place {
            DeployPlace::Pod => {
                "The namespace forbids NET_ADMIN, which redirecting takes. Choose a copy with HTTP proxy variables."
            }
            _ => "The namespace forbids NET_ADMIN, which redirecting takes. Choose HTTP proxy variables instead.",
        })
    } else if refusal.code == 409 {
        refused
            .advice("Another tool set these fields. Choose a copy: nothing of the workload itself is changed for it.")
    } else {
        refused
    })
}

fn istio(prepared: &Prepared, plane: DataPlane<'_>) -> DeployCheck {
    let title = "Istio";
    match (prepared.options.place, plane) {
        (DeployPlace::Copy, DataPlane::Sidecar { .. }) => fine(
            title,
            "The copy has no sidecar of Istio: Egret's alone decides. Calls to services that ask for mTLS are refused there.",
        ),
        (DeployPlace::Copy, _) => fine(title, "The copy has no sidecar of Istio, as the workload."),
        (DeployPlace::Workload | DeployPlace::Pod, DataPlane::Ambient { because }) => check(
            title,
            CheckOutcome::Refused,
            format!("Ambient takes what leaves these pods ({because}): which of the two would be first is not known."),
        )
        .advice("Choose a copy, which ambient leaves alone."),
        (DeployPlace::Workload | DeployPlace::Pod, DataPlane::Nothing { because }) => {
            fine(title, format!("No sidecar of Istio stands beside it: {because}."))
        }
        (DeployPlace::Workload | DeployPlace::Pod, DataPlane::Sidecar { .. } | DataPlane::Undeclared) => check(
            title,
            CheckOutcome::Warning,
            "Egret's sidecar comes first, then Istio's: what Egret lets through, Istio's decides on again. Istio's log shows it \
             as sent by the same pod.",
        )
        .advice("To see Egret's decision alone, choose a copy."),
    }
}

fn nodes(image: &str, found: &Found<'_>) -> DeployCheck {
    let title = "Image";
    if found.has_image(image) {
        return fine(title, format!("All nodes have {image}."));
    }
    if image != IMAGE {
        let from = registry(image).unwrap_or("the registry that they take where none is named");
        let text = format!("Nodes that have not {image} fetch it from {from}, with the workload's own pull secrets.");
        return check(title, CheckOutcome::Unknown, text);
    }
    let nodes = found.nodes.as_ref();
    let there = nodes.map(|nodes| image::there(nodes, image));
    if found.brought && matches!(there, None | Some(There::Nowhere)) {
        let text =
            format!("{image} was brought there. Nodes name what they have within a minute or so; it can be used now.");
        return check(title, CheckOutcome::Warning, text);
    }
    let bring = |check: DeployCheck| DeployCheck {
        command: Some(found.ways.command()),
        ..check
    };
    match there {
        None => bring(check(
            title,
            CheckOutcome::Unknown,
            format!("Whether the nodes have {image} is not known: nodes cannot be listed."),
        ))
        .advice("No registry has it. Bring it to the nodes first:"),
        Some(There::Missing(missing, all)) => bring(check(
            title,
            CheckOutcome::Warning,
            format!("{missing} of {all} nodes have not {image}: a pod there would not start."),
        ))
        .advice("Bring it to them first:"),
        Some(There::Unsaid) => bring(check(
            title,
            CheckOutcome::Unknown,
            format!("Whether all nodes have {image} is not known: not all say all that they have."),
        ))
        .advice("If they have not, bring it to them first:"),
        Some(There::Nowhere | There::Everywhere) => bring(check(
            title,
            CheckOutcome::Refused,
            format!("No node has {image}, and no registry."),
        ))
        .advice("Bring it to the nodes first:"),
    }
}

fn second(workload: &Value) -> DeployCheck {
    let mut text = "The program runs a second time: what it does by itself, such as taking from a queue or a timed job, is done \
                    twice. No Service, no NetworkPolicy and no policy of Istio that selects the workload's labels holds for it."
        .to_string();
    for left in copy::leaves_out(workload) {
        text.push_str(&format!(" Also, {left}."));
    }
    check("Copy", CheckOutcome::Warning, text)
}

/// What cannot be undone is said before.
fn pod(prepared: &Prepared, found: &Found<'_>) -> DeployCheck {
    let title = "Pod";
    let pod = prepared.pod.as_deref().unwrap_or_default();
    if let Some(id) = &found.injected {
        return check(
            title,
            CheckOutcome::Refused,
            format!("Its workload has a sidecar of Egret already (session {id})."),
        )
        .advice("Remove that one first; it is listed among what is left.");
    }
    check(
        title,
        CheckOutcome::Warning,
        format!(
            "It is added to {pod} alone, which runs on; connections that are open already stay as they are. Stop ends it, and \
             takes its rules away. They also go when it ends by itself: then everything passes. Kubernetes takes no ephemeral \
             container out again: two that have ended stay in the pod's spec until the pod is replaced, and a pod that \
             replaces it has none."
        ),
    )
}

fn rollout(workload: &Value, found: &Found<'_>) -> DeployCheck {
    let title = "Rollout";
    if let Some(id) = &found.injected {
        return check(
            title,
            CheckOutcome::Refused,
            format!("It has a sidecar of Egret already (session {id})."),
        )
        .advice("Remove that one first; it is listed among what is left.");
    }
    if let Some(unable) = &found.unable {
        return check(title, CheckOutcome::Refused, format!("It {unable}"));
    }
    let spec = &workload["spec"];
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    if replicas == 0 {
        return check(
            title,
            CheckOutcome::Refused,
            "It is scaled to 0: no pod would have the sidecar.",
        )
        .advice("Choose a copy.");
    }
    let text = "All of its pods are replaced, once now and once when the sidecar is removed.";
    if spec["strategy"]["type"] == "Recreate" {
        return check(
            title,
            CheckOutcome::Warning,
            format!("{text} With the strategy Recreate it is away in between."),
        );
    }
    check(title, CheckOutcome::Warning, text)
}

fn manager(manager: Option<&(String, String)>) -> DeployCheck {
    match manager {
        None => fine("Managed by", "No tool that would take the sidecar out again."),
        Some((tool, effect)) => check(
            "Managed by",
            CheckOutcome::Warning,
            format!("{tool}: {effect}. A sync that replaces the object takes the sidecar out before you do."),
        )
        .advice("Choose a copy: nothing that it manages is changed for it."),
    }
}

fn disruption(disruptions: Option<&[Disruption]>) -> DeployCheck {
    let title = "PodDisruptionBudget";
    match disruptions {
        None => check(title, CheckOutcome::Unknown, "They cannot be listed."),
        Some([]) => fine(title, "None that allows no disruption now."),
        Some(all) => {
            let names: Vec<&str> = all.iter().map(|each| each.name.as_str()).collect();
            let names = names.join(", ");
            check(
                title,
                CheckOutcome::Warning,
                format!("{names} allows no disruption now, and a rollout does not ask it."),
            )
            .advice("Wait until all of its pods are ready, or choose a copy.")
        }
    }
}
