//! Services by name and by address, as a process outside the cluster needs them that asks for either.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::core::{ApiResource, DynamicObject};

use super::{
    follow::Sink,
    kinds,
    mirror::{Mirror, file_of},
};

/// What a Service's name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leads {
    /// Its own addresses.
    Addresses(Vec<IpAddr>),
    /// The addresses of its pods: a headless Service.
    Pods,
    /// Another name, outside.
    Name(String),
}

/// All Services, on their way into the mirror.
#[derive(Debug)]
pub(super) struct Services {
    mirror: Arc<Mirror>,
    /// By file.
    known: Mutex<BTreeMap<String, Leads>>,
}

impl Services {
    pub fn new(mirror: Arc<Mirror>) -> Arc<Self> {
        Arc::new(Self {
            mirror,
            known: Mutex::default(),
        })
    }

    /// What `namespace/name` leads to.
    pub fn leads(&self, namespace: &str, name: &str) -> Option<Leads> {
        self.lock().get(&kinds::file("Service", namespace, name)).cloned()
    }

    /// Namespace and name of the Service that has this address.
    pub fn at(&self, address: IpAddr) -> Option<(String, String)> {
        let known = self.lock();
        let own = |leads: &Leads| matches!(leads, Leads::Addresses(all) if all.contains(&address));
        let (file, _) = known.iter().find(|(_, leads)| own(leads))?;
        let (_, namespace, name) = kinds::object_of(file)?;
        Some((namespace.to_string(), name.to_string()))
    }

    // Entries are replaced whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Leads>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Services {
    fn put(&self, object: &DynamicObject, resource: &ApiResource) -> io::Result<()> {
        let spec = &object.data["spec"];
        let addresses = spec["clusterIPs"].as_array().into_iter().flatten();
        let addresses: Vec<IpAddr> = addresses.filter_map(|each| each.as_str()?.parse().ok()).collect();
        let leads = match spec["externalName"].as_str() {
            Some(name) if spec["type"] == "ExternalName" => Leads::Name(name.to_string()),
            _ if addresses.is_empty() => Leads::Pods,
            _ => Leads::Addresses(addresses),
        };
        self.lock().insert(file_of(object, resource), leads);
        self.mirror.put(object, resource)
    }

    fn remove(&self, file: &str) -> io::Result<()> {
        self.lock().remove(file);
        self.mirror.remove(file)
    }

    fn keep(&self, kind: &str, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
        self.lock().retain(|file, _| wanted(file));
        self.mirror.keep(kind, wanted)
    }

    fn listed(&self, namespace: Option<&str>) {
        self.mirror.listed(namespace);
    }
}

/// Namespace and name of the Service that `host` names for a pod of `namespace`, as the search list of its resolver has it
/// (Kubernetes: DNS for Services and Pods).
pub(super) fn named<'h>(host: &'h str, namespace: &'h str) -> Option<(&'h str, &'h str)> {
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    let mut labels = host.split('.');
    let name = labels.next().filter(|name| !name.is_empty())?;
    match (labels.next(), labels.next(), labels.next()) {
        (None, ..) => Some((namespace, name)),
        (Some(own), None | Some("svc"), None) => Some((own, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::GroupVersionKind;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_service_is_named_as_pods_name_it() {
        for (host, is) in [
            ("cart", Some(("shop", "cart"))),
            ("cart.store", Some(("store", "cart"))),
            ("cart.store.svc", Some(("store", "cart"))),
            ("cart.store.svc.cluster.local", Some(("store", "cart"))),
            ("cart.cluster.local", Some(("shop", "cart"))),
            ("www.example.com", None),
            ("", None),
        ] {
            assert_eq!(named(host, "shop"), is, "{host}");
        }
    }

    #[test]
    fn services_are_found_by_name_and_by_address_until_they_go() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::new(&folder.path().join("mirror")).unwrap();
        let services = Services::new(mirror.clone());
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Service"));
        let put = |name: &str, spec: Value| {
            let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
            services
                .put(&serde_json::from_value(object).unwrap(), &resource)
                .unwrap();
        };
        put("cart", json!({"clusterIPs": ["10.96.0.7", "fd00::7"]}));
        put("db", json!({"clusterIPs": ["None"]}));
        put("out", json!({"type": "ExternalName", "externalName": "db.example.com"}));
        assert_eq!(
            services.at("fd00::7".parse().unwrap()),
            Some(("shop".into(), "cart".into()))
        );
        assert_eq!(services.leads("shop", "db"), Some(Leads::Pods));
        assert_eq!(
            services.leads("shop", "out"),
            Some(Leads::Name("db.example.com".into()))
        );
        assert!(
            mirror.read("Service/shop.cart.yaml").unwrap().is_some(),
            "they go on into the mirror"
        );
        services.remove("Service/shop.cart.yaml").unwrap();
        assert_eq!(services.at("10.96.0.7".parse().unwrap()), None);
        services
            .keep("Service", &|file| file == "Service/shop.db.yaml")
            .unwrap();
        assert_eq!(services.leads("shop", "out"), None);
    }
}
