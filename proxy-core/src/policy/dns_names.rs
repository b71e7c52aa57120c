//! The names that a sidecar answers itself where it captures DNS: hosts of ServiceEntries that have addresses, their own or
//! allocated ones, and Services. All others are for the servers of the pod. Istio: `BuildNameTable` (pkg/dns/server) and
//! `LookupTable` (pkg/dns/client).

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
};

use super::{
    Workload,
    registry::{Address, RegistryService, is_of_kubernetes},
    scope::Scope,
};

/// Addresses by name, in lower case and without a dot at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsNames(HashMap<String, Known>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    addresses: Vec<IpAddr>,
    of_kubernetes: bool,
}

impl DnsNames {
    /// Those of what `scopes` import.
    pub(super) fn of(scopes: &[Scope<'_>], workload: &Workload) -> Self {
        let mut names = Self::default();
        for service in scopes.iter().flat_map(|scope| &scope.services) {
            let addresses: Vec<IpAddr> = match service.address {
                Address::Ip(_) => service.virtual_ips().collect(),
                // The addresses of a range belong to no name, and those of pods are the cluster's own DNS to know.
                Address::Any | Address::Range(_) => continue,
            };
            for name in written(service, workload) {
                names.add(name, &addresses, service.is_kubernetes());
            }
        }
        names
    }

    /// An entry of several addresses is one name with all of them; a Service goes before an entry of its host.
    fn add(&mut self, name: String, addresses: &[IpAddr], of_kubernetes: bool) {
        match self.0.entry(name) {
            Entry::Vacant(free) => {
                free.insert(Known {
                    addresses: addresses.to_vec(),
                    of_kubernetes,
                });
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                match (known.of_kubernetes, of_kubernetes) {
                    (true, _) => {}
                    (false, true) => {
                        *known = Known {
                            addresses: addresses.to_vec(),
                            of_kubernetes,
                        }
                    }
                    (false, false) => known.addresses.extend_from_slice(addresses),
                }
            }
        }
    }

    /// The addresses of `name`, or of the wildcard that is nearest to it; `None` for a name that is another one's to answer.
    pub fn find(&self, name: &str) -> Option<&[IpAddr]> {
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let mut known = self.0.get(&plain);
        let mut rest = plain.as_str();
        while let (None, Some((_, above))) = (known, rest.split_once('.')) {
            known = self.0.get(&format!("*.{above}"));
            rest = above;
        }
        known.map(|known| &*known.addresses)
    }
}

/// The names that programs write for a service: of a Service also the shorter ones.
fn written(service: &RegistryService, workload: &Workload) -> Vec<String> {
    let host = service.host.to_ascii_lowercase();
    let mut names = Vec::new();
    if service.is_kubernetes() && is_of_kubernetes(&host) {
        let (name, namespace) = (&service.object.name, service.namespace());
        names.push(format!("{name}.{namespace}"));
        names.push(format!("{name}.{namespace}.svc"));
        if *namespace == workload.namespace {
            names.push(name.to_string());
        }
    }
    names.push(host);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::{Snapshot, compile},
        source::read_texts,
    };

    const WORLD: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: \"true\"}}'}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7, 'fd00:96::7'], ports: [{port: 80, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: pods, namespace: shop}
spec: {clusterIP: None, ports: [{port: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: first, namespace: shop}
spec: {hosts: [A.example], ports: [{number: 5432, name: tcp, protocol: TCP}], resolution: DNS}
status: {addresses: [{value: 240.240.0.1, host: A.example}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: shop}
spec: {hosts: ['*.b.example'], addresses: [10.1.0.1, 10.1.0.2, 10.2.0.0/16], ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none, namespace: shop}
spec: {hosts: [c.example], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}
";

    fn snapshot(world: &str, annotation: Option<&str>) -> Snapshot {
        chosen(world, annotation, None)
    }

    fn chosen(world: &str, annotation: Option<&str>, dns_capture: Option<bool>) -> Snapshot {
        let reading = read_texts([("policy.yaml", world.as_bytes())]);
        assert_eq!(reading.errors, []);
        let annotations = annotation.map(|text| ("proxy.istio.io/config".to_string(), text.to_string()));
        let workload = Workload {
            namespace: "shop".into(),
            annotations: annotations.into_iter().collect(),
            dns_capture,
            ..Workload::default()
        };
        compile(&reading.world, &workload)
    }

    #[test]
    fn names_are_those_of_istios_table() {
        let snapshot = snapshot(WORLD, None);
        let find = |name: &str| {
            let found = snapshot.dns_names().unwrap().find(name);
            found.map(|all| all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "))
        };
        for (name, addresses) in [
            ("a.EXAMPLE.", Some("240.240.0.1")),
            ("x.y.b.example", Some("10.1.0.1 10.1.0.2")),
            ("b.example", None),
            ("c.example", None),
            ("cart", Some("10.96.0.7 fd00:96::7")),
            ("cart.shop", Some("10.96.0.7 fd00:96::7")),
            ("cart.shop.svc", Some("10.96.0.7 fd00:96::7")),
            ("cart.shop.svc.cluster.local", Some("10.96.0.7 fd00:96::7")),
            ("pods.shop", None),
        ] {
            assert_eq!(find(name).as_deref(), addresses, "{name}");
        }
    }

    #[test]
    fn the_annotation_of_a_pod_goes_before_the_meshs_settings() {
        let says = |value: &str| format!("proxyMetadata:\n  ISTIO_META_DNS_CAPTURE: '{value}'\n");
        let without = WORLD.replace("ISTIO_META_DNS_CAPTURE", "OTHER");
        for (world, annotation, captures) in [
            (WORLD, None, true),
            (WORLD, Some("proxyMetadata: {OTHER: x}"), true),
            (WORLD, Some(&*says("false")), false),
            (&without, None, false),
            (&without, Some(&says("true")), true),
            (&without, Some("no: [yaml"), false),
        ] {
            let captured = snapshot(world, annotation).dns_names().is_some();
            assert_eq!(captured, captures, "{annotation:?}");
        }
    }

    #[test]
    fn a_choice_goes_before_what_the_configuration_says() {
        let without = WORLD.replace("ISTIO_META_DNS_CAPTURE", "OTHER");
        let on = "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}";
        for (world, annotation, choice) in [
            (WORLD, None, false),
            (WORLD, Some(on), false),
            (&without, None, true),
            (&without, Some("proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'false'}"), true),
        ] {
            let captured = chosen(world, annotation, Some(choice)).dns_names().is_some();
            assert_eq!(captured, choice, "{annotation:?}");
        }
    }
}
