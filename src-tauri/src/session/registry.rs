//! Kubernetes Services and DestinationRules as lists, and any object as it is written.

use std::collections::HashMap;

use proxy_core::{
    model::{self, DestinationRule, Object, Service, TrafficPolicy, World},
    policy::{covers, qualify, service_host},
    source::edit,
};

use super::View;
use crate::{
    dto::{DestinationRuleRow, KubernetesServiceRow, ObjectRef, ObjectText, RegistryView, ServicePort},
    fault::{Fault, Result},
};

/// Services of one DestinationRule that are named.
const NAMED: usize = 20;
/// Kinds that can be read as they are written.
const KINDS: [&str; 6] = [
    "ServiceEntry",
    "VirtualService",
    "DestinationRule",
    "Gateway",
    "Service",
    "Sidecar",
];

/// Every Kubernetes Service and every DestinationRule.
pub fn registry_view(view: &View) -> RegistryView {
    let world = view.world();
    let registered = Registered::of(world);
    RegistryView {
        services: world.services.iter().map(|service| row(service)).collect(),
        rules: world
            .destination_rules
            .iter()
            .map(|rule| rule_row(rule, &registered))
            .collect(),
    }
}

/// An object as its file has it, with the DestinationRules for its hosts.
pub fn object_text(view: &View, kind: &str, namespace: &str, name: &str) -> Result<ObjectText> {
    let missing = || Fault::new("missing", format!("There is no {kind} {namespace}/{name}."));
    let kind = KINDS.into_iter().find(|known| *known == kind).ok_or_else(missing)?;
    let file = edit::file_of(view.world(), kind, namespace, name).ok_or_else(missing)?;
    let text = view
        .text(&file)
        .map_err(|error| Fault::file("read", &view.folder.join(&*file), &error))?;
    let (yaml, line) = match edit::find_document(&text, kind, namespace, name) {
        Some(range) => {
            let document = text[range.clone()].trim_start_matches('\n');
            let before = range.end - document.len();
            (
                document.trim_end().to_string(),
                text[..before].matches('\n').count() + 1,
            )
        }
        // An item of a List has no document of its own.
        None => (text.trim_end().to_string(), 1),
    };
    Ok(ObjectText {
        object: ObjectRef {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            file: file.to_string(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
        },
        yaml,
        rules: rules_of(view.world(), kind, namespace, name),
    })
}

fn row(service: &Object<Service>) -> KubernetesServiceRow {
    let spec = &service.spec;
    let export_to = service.meta.annotations.get("networking.istio.io/exportTo");
    KubernetesServiceRow {
        object: (&service.reference("Service", 0)).into(),
        host: service_host(service),
        addresses: spec.cluster_ips.iter().map(ToString::to_string).collect(),
        ports: spec.ports.iter().map(port).collect(),
        headless: spec.headless,
        external_name: spec.external_name.clone(),
        export_to: export_to
            .map(|list| list.split(',').map(|item| item.trim().to_string()).collect())
            .unwrap_or_default(),
    }
}

fn port(port: &model::ServicePort) -> ServicePort {
    ServicePort {
        number: port.number,
        name: port.name.clone(),
        protocol: port.protocol.to_string(),
        target_port: None,
    }
}

/// The hosts of the registry, and whose they are.
struct Registered {
    hosts: Vec<(String, model::ObjectRef)>,
    by_host: HashMap<String, Vec<usize>>,
}

impl Registered {
    fn of(world: &World) -> Self {
        let entries = world.service_entries.iter().flat_map(|entry| {
            let object = entry.reference("ServiceEntry", 0);
            let hosts = entry.spec.hosts.iter();
            hosts.map(move |host| (host.to_ascii_lowercase(), object.clone()))
        });
        // An ExternalName is no host of the registry.
        let services = world
            .services
            .iter()
            .filter(|service| service.spec.external_name.is_none());
        let services = services.map(|service| (service_host(service), service.reference("Service", 0)));
        let hosts: Vec<_> = entries.chain(services).collect();
        let mut by_host: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, (host, _)) in hosts.iter().enumerate() {
            by_host.entry(host.clone()).or_default().push(index);
        }
        Self { hosts, by_host }
    }

    /// Objects with a host that `pattern` names.
    fn named(&self, pattern: &str) -> Vec<&model::ObjectRef> {
        let pattern = pattern.to_ascii_lowercase();
        let mut found: Vec<&model::ObjectRef> = if pattern.starts_with('*') {
            let covered = self.hosts.iter().filter(|(host, _)| covers(&pattern, host));
            covered.map(|(_, object)| object).collect()
        } else {
            let exact = self.by_host.get(&pattern).into_iter().flatten();
            exact.map(|index| &self.hosts[*index].1).collect()
        };
        found.dedup();
        found
    }
}

fn rule_row(rule: &Object<DestinationRule>, registered: &Registered) -> DestinationRuleRow {
    let spec = &rule.spec;
    let named = registered.named(&qualify(&spec.host, &rule.meta.namespace));
    let ports = spec.policy.iter().flat_map(|set| &set.ports);
    let tls_mode = |policy: &TrafficPolicy| policy.tls.as_ref().map(|tls| tls.mode.clone());
    DestinationRuleRow {
        object: (&rule.reference("DestinationRule", 0)).into(),
        host: spec.host.to_string(),
        export_to: spec.export_to.clone(),
        tls_mode: spec.policy.as_ref().and_then(|set| tls_mode(&set.policy)),
        port_tls_modes: ports
            .filter_map(|(port, policy)| Some((*port, tls_mode(policy)?)))
            .collect(),
        subsets: spec.subsets.iter().map(|subset| subset.name.to_string()).collect(),
        applies_to: named.iter().take(NAMED).map(|object| (*object).into()).collect(),
        applies_to_all: named.len(),
    }
}

/// DestinationRules that name a host of this object.
fn rules_of(world: &World, kind: &str, namespace: &str, name: &str) -> Vec<DestinationRuleRow> {
    let registered = Registered::of(world);
    let is_it =
        |object: &model::ObjectRef| object.kind == kind && *object.namespace == *namespace && *object.name == *name;
    let own: Vec<&str> = registered
        .hosts
        .iter()
        .filter(|(_, object)| is_it(object))
        .map(|(host, _)| host.as_str())
        .collect();
    let names = |rule: &&std::sync::Arc<Object<DestinationRule>>| {
        let pattern = qualify(&rule.spec.host, &rule.meta.namespace).to_ascii_lowercase();
        own.iter().any(|host| covers(&pattern, host))
    };
    let rules = world.destination_rules.iter().filter(names);
    rules.map(|rule| rule_row(rule, &registered)).collect()
}
