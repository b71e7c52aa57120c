//! Whether what the workload sends can be made to meet the sidecar.

use serde_json::Value;

use super::{check, fine};
use crate::{
    dto::{CheckOutcome, DeployCheck, DeployPlace, DeployWay},
    sidecar::deploy::{in_place, prepare::Prepared},
};

/// What no redirection can be set in.
pub fn network(workload: &Value) -> Option<DeployCheck> {
    let spec = &workload["spec"]["template"]["spec"];
    let windows = spec["os"]["name"] == "windows" || spec["nodeSelector"]["kubernetes.io/os"] == "windows";
    let refused = |text: &str| Some(check("Network", CheckOutcome::Refused, text));
    if spec["hostNetwork"] == true {
        return refused(
            "Its pods are in the network of their node (hostNetwork): the node's own traffic would be redirected.",
        );
    }
    if windows {
        return refused("Its pods run Windows, where the sidecar does not run.");
    }
    None
}

/// Whose DNS is captured says its own configuration, as for Istio's sidecar, where nobody chose.
pub fn dns(prepared: &Prepared) -> Option<DeployCheck> {
    let title = "DNS";
    let (identity, options) = (&prepared.identity, &prepared.options);
    match (options.way, identity.asks_for_dns, identity.captures_dns) {
        (DeployWay::Capture, asks, true) => {
            let because = if asks { "ISTIO_META_DNS_CAPTURE says" } else { "chosen" };
            Some(fine(
                title,
                format!(
                    "What it asks of its DNS servers goes to the sidecar too, as {because}: names that the policy has addresses \
                     for are answered there, all others are asked on. DNS over TLS or HTTPS is not seen."
                ),
            ))
        }
        (DeployWay::Capture, true, false) => {
            let text = "ISTIO_META_DNS_CAPTURE is set for it, and its DNS is left alone, as chosen: TCP hosts that share a port \
                        are not told apart.";
            let beside = " Istio's sidecar beside it goes on answering with addresses that Istio allocated: TCP to them is of no \
                          host here.";
            Some(check(
                title,
                CheckOutcome::Warning,
                format!("{text}{}", if identity.beside_istio { beside } else { "" }),
            ))
        }
        (DeployWay::Proxy, true, true) => Some(check(
            title,
            CheckOutcome::Warning,
            "ISTIO_META_DNS_CAPTURE is set for it, and nothing is redirected: addresses that Istio allocated to hosts are not \
             known to it.",
        )),
        (DeployWay::Capture | DeployWay::Proxy, _, false) | (DeployWay::Proxy, false, true) => None,
    }
}

pub fn variables(workload: &Value, place: DeployPlace) -> DeployCheck {
    let title = "HTTP proxy variables";
    if place == DeployPlace::Pod {
        return check(
            title,
            CheckOutcome::Refused,
            "A program that runs keeps the variables that it began with.",
        )
        .advice("Choose redirection.");
    }
    if let (DeployPlace::Workload, Some(name)) = (place, in_place::own_proxy_variable(workload)) {
        return check(title, CheckOutcome::Refused, format!("A container sets {name} itself."))
            .advice("Choose a copy: there it is replaced.");
    }
    check(
        title,
        CheckOutcome::Warning,
        "Only programs that obey HTTP_PROXY and HTTPS_PROXY meet the sidecar, with HTTP and what goes through CONNECT. All else \
         leaves past it, unseen: what is not in the list below may still have been sent.",
    )
}
