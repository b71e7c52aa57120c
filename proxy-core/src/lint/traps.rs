//! Traps between objects.

use std::collections::HashMap;

use super::{About, Finding, Level};
use crate::model::{Object, OutboundMode, VirtualService, World};

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    same_host_twice(world, findings);
    empty_policies(world, findings);
    unreadable_ranges(world, findings);
}

/// IST0109: VirtualServices never merge on sidecars, the older one wins.
fn same_host_twice(world: &World, findings: &mut Vec<Finding>) {
    let mut owners: HashMap<String, &Object<VirtualService>> = HashMap::new();
    for service in world.virtual_services.iter().filter(|service| {
        let gateways = &service.spec.gateways;
        gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh")
    }) {
        // Private ones of different namespaces do not meet.
        let scope = if service.spec.export_to.iter().any(|to| to == ".") {
            service.meta.namespace.to_string()
        } else {
            String::new()
        };
        for host in &service.spec.hosts {
            let key = format!("{scope}/{}", host.to_ascii_lowercase());
            match owners.get(&key) {
                Some(owner) => {
                    let message = format!(
                        "The VirtualServices {}/{},{}/{} associated with mesh gateway define the same host {host}: only the older one is used",
                        owner.meta.namespace, owner.meta.name, service.meta.namespace, service.meta.name
                    );
                    let mut about = About {
                        kind: "VirtualService",
                        object: service,
                        findings,
                    };
                    about.add(
                        "IST0109",
                        Level::Warning,
                        ("spec.hosts", 0),
                        message,
                        Some("merge them into one object".into()),
                    );
                }
                None => {
                    owners.insert(key, service);
                }
            }
        }
    }
}

/// A present but empty policy is REGISTRY_ONLY.
fn empty_policies(world: &World, findings: &mut Vec<Finding>) {
    let message =
        "outboundTrafficPolicy is present without a mode: that is REGISTRY_ONLY, not Istio's default ALLOW_ANY";
    let fix = || Some("write the mode".to_string());
    for sidecar in world.sidecars.iter().filter(|sidecar| sidecar.spec.mode_is_implied) {
        let at = ("spec.outboundTrafficPolicy", sidecar.spec.mode_line);
        About {
            kind: "Sidecar",
            object: sidecar,
            findings,
        }
        .add("EGR01", Level::Warning, at, message.into(), fix());
    }
    for mesh in world.mesh_configs.iter().filter(|mesh| mesh.spec.mode_is_implied) {
        debug_assert_eq!(mesh.spec.mode, OutboundMode::RegistryOnly);
        let at = ("data.mesh.outboundTrafficPolicy", mesh.spec.mode_line);
        About {
            kind: "ConfigMap",
            object: mesh,
            findings,
        }
        .add("EGR01", Level::Warning, at, message.into(), fix());
    }
}

/// Ranges that the injector cannot parse: new pods crash-loop in their init container.
fn unreadable_ranges(world: &World, findings: &mut Vec<Finding>) {
    for injector in &world.injectors {
        let values = &injector.spec;
        let ranges = [
            ("includeIPRanges", &values.include_ip_ranges, values.lines[0]),
            ("excludeIPRanges", &values.exclude_ip_ranges, values.lines[1]),
        ];
        for (name, list, line) in ranges {
            let list = list.as_deref().unwrap_or_default();
            if list.is_empty() || name == "includeIPRanges" && list == "*" {
                continue;
            }
            for range in list.split(',').filter(|range| range.parse::<ipnet::IpNet>().is_err()) {
                let field = format!("data.values.global.proxy.{name}");
                let message =
                    format!("{range:?} is no range in CIDR notation: the init container of new pods fails on it");
                let fix = range
                    .trim()
                    .parse::<std::net::IpAddr>()
                    .ok()
                    .map(|address| format!("write {address}/32"));
                let mut about = About {
                    kind: "ConfigMap",
                    object: injector,
                    findings,
                };
                about.add("EGR15", Level::Warning, (&field, line), message, fix);
            }
        }
    }
}
