//! From a Service's address to a stream to one of its pods, as the API server forwards ports: to a pod that is ready, at
//! the port that the Service leads to.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use k8s_openapi::{
    api::core::v1::{Pod, Service, ServicePort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use super::{
    Cluster,
    connect::told,
    pods::is_ready,
    rights::Feature,
    services::{Leads, Services, named},
};
use crate::fault::{Fault, Result};

/// Addresses of pods that are kept; beyond that all are asked for again.
const MAX_GIVEN: usize = 4096;

/// The way to the Services of one cluster.
pub(super) struct Way {
    client: Client,
    services: Arc<Services>,
    /// Not what keeps the cluster open.
    cluster: Weak<Cluster>,
    /// Pods whose address was given as that of a headless Service.
    given: Mutex<HashMap<IpAddr, (String, String)>>,
    /// Pods take turns.
    turn: AtomicUsize,
}

/// A forwarded port, for as long as it is held.
pub(super) type Forwarded = kube::api::Portforwarder;

impl Way {
    pub fn new(cluster: &Arc<Cluster>) -> Self {
        Self {
            client: cluster.client.clone(),
            services: cluster.services.clone(),
            cluster: Arc::downgrade(cluster),
            given: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Addresses of `host` for a pod of `namespace`; `None` for what is no Service's name.
    pub async fn resolve(&self, host: &str, namespace: &str) -> Result<Option<Vec<IpAddr>>> {
        let Some((namespace, name)) = named(host, namespace) else {
            return Ok(None);
        };
        match self.services.leads(namespace, name) {
            None => Ok(None),
            Some(Leads::Addresses(addresses)) => Ok(Some(addresses)),
            Some(Leads::Name(outside)) => {
                let found = tokio::net::lookup_host((outside.as_str(), 0)).await;
                let found = found.map_err(|error| Fault::new("name", format!("{outside}: {error}.")))?;
                Ok(Some(found.map(|address| address.ip()).collect()))
            }
            Some(Leads::Pods) => self.explained(namespace, self.pods_of(namespace, name)).await.map(Some),
        }
    }

    /// Connects to `to`; `None` where that is no address of a Service. Gives the pod's port beside the stream's holder.
    pub async fn connect(&self, to: SocketAddr) -> Result<Option<(Forwarded, u16)>> {
        let given = self.given().get(&to.ip()).cloned();
        if let Some((namespace, pod)) = given {
            let forwarded = self
                .explained(&namespace, self.forward(&namespace, &pod, to.port()))
                .await?;
            return Ok(Some((forwarded, to.port())));
        }
        let Some((namespace, name)) = self.services.at(to.ip()) else {
            return Ok(None);
        };
        self.explained(&namespace, self.to_service(&namespace, &name, to.port()))
            .await
            .map(Some)
    }

    async fn to_service(&self, namespace: &str, name: &str, port: u16) -> Result<(Forwarded, u16)> {
        let service = self.service(namespace, name).await?;
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let own = ports.clone().find(|each| u16::try_from(each.port) == Ok(port));
        let own = own.ok_or_else(|| {
            let all: Vec<_> = ports.map(|each| each.port.to_string()).collect();
            let has = format!(
                "Service {namespace}/{name} has no port {port}; it has {}.",
                all.join(", ")
            );
            Fault::new("port", has)
        })?;
        let ready = self.ready(namespace, name, &service).await?;
        let pod = &ready[self.turn.fetch_add(1, Ordering::Relaxed) % ready.len()];
        let target = target(own, pod).ok_or_else(|| {
            let pod = pod.name_any();
            Fault::new(
                "port",
                format!("The pod {namespace}/{pod} has no port of the name that Service {name} leads to."),
            )
        })?;
        let forwarded = self.forward(namespace, &pod.name_any(), target).await?;
        Ok((forwarded, target))
    }

    async fn forward(&self, namespace: &str, pod: &str, port: u16) -> Result<Forwarded> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let forwarded = pods.portforward(pod, &[port]).await;
        forwarded.map_err(|error| {
            let cause = told(&error).message;
            Fault::new(
                "forward",
                format!("No port-forward to the pod {namespace}/{pod}: {cause}"),
            )
        })
    }

    async fn pods_of(&self, namespace: &str, name: &str) -> Result<Vec<IpAddr>> {
        let service = self.service(namespace, name).await?;
        let mut addresses = Vec::new();
        for pod in self.ready(namespace, name, &service).await? {
            let all = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
            let own: Vec<IpAddr> = all.filter_map(|each| each.ip.parse().ok()).collect();
            let mut given = self.given();
            if given.len() >= MAX_GIVEN {
                given.clear();
            }
            given.extend(own.iter().map(|ip| (*ip, (namespace.to_string(), pod.name_any()))));
            addresses.extend(own);
        }
        Ok(addresses)
    }

    async fn service(&self, namespace: &str, name: &str) -> Result<Service> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        services.get(name).await.map_err(|error| told(&error))
    }

    /// The pods behind a Service that are ready; never none.
    async fn ready(&self, namespace: &str, name: &str, service: &Service) -> Result<Vec<Pod>> {
        let none = |why: &str| Fault::new("no-pod", format!("Service {namespace}/{name} {why}."));
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = selector.filter(|labels| !labels.is_empty()).ok_or_else(|| {
            none("selects no pods: what it leads to is not in the cluster, or written by hand")
                .hint("Name its addresses instead.")
        })?;
        let labels: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let parameters = ListParams::default().labels(&labels.join(","));
        let all = pods.list(&parameters).await.map_err(|error| told(&error))?.items;
        let ready: Vec<Pod> = all.into_iter().filter(is_ready).collect();
        match ready.is_empty() {
            false => Ok(ready),
            true => Err(none("has no pod that is ready")),
        }
    }

    /// What comes of `work`; where it failed and a permission is missing, that is the reason.
    async fn explained<T>(&self, namespace: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = match work.await {
            Ok(done) => return Ok(done),
            Err(fault) => fault,
        };
        let Some(cluster) = self.cluster.upgrade() else {
            return Err(fault);
        };
        let namespace = namespace.to_string();
        // It waits for the API server's answer, which no thread of the runtime may.
        let asked = tokio::task::spawn_blocking(move || cluster.require(Feature::ReachServices, &namespace)).await;
        match asked {
            Ok(Err(missing)) => Err(missing),
            _ => Err(fault),
        }
    }

    // Entries are replaced whole.
    fn given(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, (String, String)>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pod's port behind that of a Service: by number, or by the name that a container gives it.
fn target(port: &ServicePort, pod: &Pod) -> Option<u16> {
    match &port.target_port {
        None => u16::try_from(port.port).ok(),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let inits = spec.init_containers.iter().flatten();
            let ports = spec
                .containers
                .iter()
                .chain(inits)
                .flat_map(|each| each.ports.iter().flatten());
            let mut own = ports.filter(|each| each.name.as_ref() == Some(name));
            u16::try_from(own.next()?.container_port).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_services_port_leads_to_the_pods_own_by_number_or_by_name() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [
            {"name": "istio-proxy"}, {"name": "app", "ports": [{"name": "web", "containerPort": 8080}]}]}}))
        .unwrap();
        let leads = |value| target(&serde_json::from_value::<ServicePort>(value).unwrap(), &pod);
        assert_eq!(leads(json!({"port": 80})), Some(80));
        assert_eq!(leads(json!({"port": 80, "targetPort": 9090})), Some(9090));
        assert_eq!(leads(json!({"port": 80, "targetPort": "web"})), Some(8080));
        assert_eq!(leads(json!({"port": 80, "targetPort": "admin"})), None);
    }
}
