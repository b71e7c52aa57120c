//! Who declares a host, as Istio's analyzer finds it (`pkg/config/analysis/analyzers/util/service_lookup.go`): by the
//! scope that an object is exported to, the host itself before wildcards, Services before ServiceEntries.
//!
//! Where several objects declare the same host, Istio takes whichever comes last; here all are given, and a rule speaks
//! only of what holds for each of them.

use std::collections::HashMap;

use crate::model::{Labels, Object, ProtocolClass, Service, ServiceEntry, World};

/// Every namespace.
pub(super) const EVERYWHERE: &str = "*";

/// What declares a host.
#[derive(Clone, Copy)]
pub(super) enum Declared<'w> {
    Entry(&'w ServiceEntry),
    Service(&'w Service),
}

impl<'w> Declared<'w> {
    /// Its ports, with their classes.
    pub fn ports(self) -> Vec<(u16, ProtocolClass)> {
        match self {
            Self::Entry(entry) => {
                let ports = entry.ports.iter();
                ports.map(|port| (port.number, port.protocol.class())).collect()
            }
            Self::Service(service) => {
                let ports = service.ports.iter();
                ports.map(|port| (port.number, port.protocol.class())).collect()
            }
        }
    }

    /// Labels of the workloads behind an entry.
    pub fn selector(self) -> Option<&'w Labels> {
        match self {
            Self::Entry(entry) => entry.workload_selector.as_deref(),
            Self::Service(_) => None,
        }
    }
}

/// All hosts of a world.
pub(super) struct Registry<'w> {
    hosts: HashMap<(&'w str, String), Vec<Declared<'w>>>,
    /// Scope and host of those with a star.
    wildcards: Vec<(&'w str, &'w str)>,
}

impl<'w> Registry<'w> {
    pub fn of(world: &'w World) -> Self {
        let mut registry = Self {
            hosts: HashMap::new(),
            wildcards: Vec::new(),
        };
        for entry in &world.service_entries {
            let own = &*entry.meta.namespace;
            for host in &entry.spec.hosts {
                for scope in scopes(&entry.spec.export_to, own) {
                    if host.starts_with('*') {
                        registry.wildcards.push((scope, host));
                    }
                    let declared = registry.hosts.entry((scope, full(host, own))).or_default();
                    declared.push(Declared::Entry(&entry.spec));
                }
            }
        }
        for service in &world.services {
            let own = &*service.meta.namespace;
            let name = full(&service.meta.name, own);
            for scope in service_scopes(service) {
                registry
                    .hosts
                    .insert((scope, name.clone()), vec![Declared::Service(&service.spec)]);
            }
        }
        registry
    }

    /// What declares `host` for an object of the namespace `from` that is exported to `export_to`.
    pub fn find(&self, from: &str, export_to: &[String], host: &str) -> Vec<Declared<'w>> {
        let name = full(host, from);
        let exact = |scope: &str| self.hosts.get(&(scope, name.clone()) as &(&str, String)).cloned();
        let own = || -> Option<Vec<Declared<'w>>> {
            if export_to.is_empty() {
                return exact(from);
            }
            let scopes = export_to.iter().map(String::as_str);
            scopes
                .map(|scope| if scope == "." { from } else { scope })
                .find_map(exact)
        };
        if let Some(declared) = exact(EVERYWHERE).or_else(own) {
            return declared;
        }
        let rest = host.strip_prefix('*').unwrap_or(host);
        let fits = |(scope, wildcard): &&(&str, &str)| {
            (*scope == EVERYWHERE || *scope == from) && rest.ends_with(wildcard.trim_start_matches('*'))
        };
        let wildcards = self.wildcards.iter().filter(fits);
        wildcards
            .filter_map(|(scope, wildcard)| self.hosts.get(&(*scope, wildcard.to_string())))
            .flatten()
            .copied()
            .collect()
    }
}

/// What `exportTo` comes to for an object of `own`; the mesh's defaults do not count for the analyzer.
pub(super) fn scopes<'e>(export_to: &'e [String], own: &'e str) -> Vec<&'e str> {
    if export_to.is_empty() || export_to.iter().any(|entry| entry == EVERYWHERE) {
        return vec![EVERYWHERE];
    }
    let mut scopes: Vec<&str> = export_to
        .iter()
        .map(|entry| if entry == "." { own } else { entry })
        .collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

/// Namespaces that a Service is exported to, by its annotation.
pub(super) fn service_scopes(service: &Object<Service>) -> Vec<&str> {
    let export = service.meta.annotations.get("networking.istio.io/exportTo");
    let own = |scope| if scope == "." { &*service.meta.namespace } else { scope };
    match export.map(String::as_str) {
        None | Some("") => vec![EVERYWHERE],
        Some(list) => list.split(',').map(str::trim).map(own).collect(),
    }
}

/// A host as the analyzer completes it: a name without a dot is a Service of `namespace`.
pub(super) fn full(host: &str, namespace: &str) -> String {
    if host.starts_with('*') || host.contains('.') {
        host.to_string()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}
