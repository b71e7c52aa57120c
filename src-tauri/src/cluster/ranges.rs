//! Which address ranges are the cluster's own: what must stay captured where only ranges are captured, and what can be
//! captured alone so that everything outside bypasses. Each source is asked; what nobody may read is left out, and said.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use kube::{
    Api, Client, Error,
    api::{DynamicObject, ListParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use proxy_core::yaml;
use serde_json::{Value, json};

use super::{Cluster, connect::told};
use crate::fault::Result;

/// Where a Service lands that asks for an address which no cluster has: the refusal names the range.
const NO_ADDRESS: &str = "1.1.1.1";
const RANGE_IS: &str = "range of valid IPs is ";

/// What lives in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lives {
    Services,
    Pods,
    Nodes,
}

/// A range of the cluster itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRange {
    pub range: IpNet,
    pub lives: Lives,
    /// Where it was read.
    pub sources: BTreeSet<String>,
    /// It is written down as this, not derived from what was seen.
    pub certain: bool,
}

/// All ranges, and what could not be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnRanges {
    pub found: Vec<OwnRange>,
    pub unread: Vec<String>,
}

impl Cluster {
    /// The cluster's own ranges, from every source that this person may read.
    pub fn own_ranges(&self) -> Result<OwnRanges> {
        self.call(own_ranges(self.client.clone()))
    }
}

#[derive(Default)]
struct Search {
    found: BTreeMap<(Lives, IpNet), OwnRange>,
    unread: Vec<String>,
}

impl Search {
    fn add(&mut self, lives: Lives, text: &str, source: &str, certain: bool) {
        // Installers write host bits too: 10.0.0.1/24.
        let Ok(range) = text.trim().parse::<IpNet>() else {
            return;
        };
        let range = range.trunc();
        let known = self.found.entry((lives, range)).or_insert_with(|| OwnRange {
            range,
            lives,
            sources: BTreeSet::new(),
            certain,
        });
        known.sources.insert(source.to_string());
        known.certain |= certain;
    }

    fn add_list(&mut self, lives: Lives, text: &str, source: &str) {
        for range in text.split(',') {
            self.add(lives, range, source, true);
        }
    }

    fn unread(&mut self, source: &str, error: &Error) {
        self.unread.push(format!("{source}: {}", told(error).message));
    }
}

async fn own_ranges(client: Client) -> Result<OwnRanges> {
    let mut search = Search::default();
    services(&client, &mut search).await;
    installer(&client, &mut search).await;
    nodes(&client, &mut search).await;
    platform(&client, &mut search).await;
    Ok(OwnRanges {
        found: within(search.found.into_values().collect()),
        unread: search.unread,
    })
}

/// `ServiceCIDR` says it, several of them together; before Kubernetes 1.33 a refusal does.
async fn services(client: &Client, search: &mut Search) {
    let ranges = objects(client, "networking.k8s.io", "v1", "ServiceCIDR").await;
    match ranges {
        Ok(objects) => {
            for object in objects {
                for range in object.data["spec"]["cidrs"].as_array().into_iter().flatten() {
                    let name = object.metadata.name.as_deref().unwrap_or_default();
                    search.add(
                        Lives::Services,
                        range.as_str().unwrap_or_default(),
                        &format!("ServiceCIDR {name}"),
                        true,
                    );
                }
            }
        }
        Err(error) => {
            if !is_absent(&error) {
                search.unread("ServiceCIDR", &error);
            }
            refused_service(client, search).await;
        }
    }
}

/// Tried only, never made: a dry run.
async fn refused_service(client: &Client, search: &mut Search) {
    let service =
        json!({"metadata": {"generateName": "egret-"}, "spec": {"clusterIP": NO_ADDRESS, "ports": [{"port": 1}]}});
    let Ok(service) = serde_json::from_value::<Service>(service) else {
        return;
    };
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    if let Err(Error::Api(status)) = services.create(&parameters, &service).await
        && let Some(range) = range_of(&status.message)
    {
        search.add(
            Lives::Services,
            range,
            "the API server's own refusal of another address",
            true,
        );
    }
}

fn range_of(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(RANGE_IS)?;
    rest.split_whitespace().next()
}

/// What kubeadm wrote at installation, and kube-proxy's own settings.
async fn installer(client: &Client, search: &mut Search) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let text = |map: ConfigMap, key: &str| map.data.and_then(|mut data| data.remove(key)).unwrap_or_default();
    match maps.get_opt("kubeadm-config").await {
        Ok(Some(map)) => {
            let networking = &document(&text(map, "ClusterConfiguration"))["networking"];
            let list = |key: &str| networking[key].as_str().unwrap_or_default().to_string();
            search.add_list(Lives::Pods, &list("podSubnet"), "kubeadm-config");
            search.add_list(Lives::Services, &list("serviceSubnet"), "kubeadm-config");
        }
        Ok(None) => {}
        Err(error) => search.unread("ConfigMap kube-system/kubeadm-config", &error),
    }
    if let Ok(Some(map)) = maps.get_opt("kube-proxy").await {
        let list = document(&text(map, "config.conf"))["clusterCIDR"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        search.add_list(Lives::Pods, &list, "kube-proxy");
    }
}

/// Each node's pods, and the nodes themselves.
async fn nodes(client: &Client, search: &mut Search) {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = match nodes.list(&ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(error) => return search.unread("Nodes", &error),
    };
    let mut addresses = Vec::new();
    for node in &nodes {
        let spec = node.spec.clone().unwrap_or_default();
        let ranges = spec
            .pod_cidrs
            .or(spec.pod_cidr.map(|one| vec![one]))
            .unwrap_or_default();
        for range in ranges {
            search.add(Lives::Pods, &range, "the nodes' podCIDRs", true);
        }
        let own = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        let internal = own.filter(|address| address.type_ == "InternalIP");
        addresses.extend(internal.filter_map(|address| address.address.parse::<IpAddr>().ok()));
    }
    for range in covering(&addresses) {
        search.add(Lives::Nodes, &range.to_string(), "the nodes' addresses", false);
    }
}

/// What network plugins and platforms keep in objects of their own.
async fn platform(client: &Client, search: &mut Search) {
    for pool in objects(client, "crd.projectcalico.org", "v1", "IPPool")
        .await
        .unwrap_or_default()
    {
        if pool.data["spec"]["disabled"] != true {
            let range = pool.data["spec"]["cidr"].as_str().unwrap_or_default();
            search.add(Lives::Pods, range, "Calico's IPPools", true);
        }
    }
    for network in objects(client, "config.openshift.io", "v1", "Network")
        .await
        .unwrap_or_default()
    {
        // The specification may say what is only wanted.
        let status = &network.data["status"];
        for range in status["clusterNetwork"].as_array().into_iter().flatten() {
            search.add(
                Lives::Pods,
                range["cidr"].as_str().unwrap_or_default(),
                "OpenShift's Network",
                true,
            );
        }
        for range in status["serviceNetwork"].as_array().into_iter().flatten() {
            search.add(
                Lives::Services,
                range.as_str().unwrap_or_default(),
                "OpenShift's Network",
                true,
            );
        }
    }
}

async fn objects(client: &Client, group: &str, version: &str, kind: &str) -> kube::Result<Vec<DynamicObject>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    Ok(api.list(&ListParams::default()).await?.items)
}

fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

fn document(text: &str) -> Value {
    let documents = yaml::read(text.as_bytes()).unwrap_or_default();
    documents.first().map(yaml::Node::to_json).unwrap_or_default()
}

/// Without those that lie in another one of the same sort: a node's pods lie in the cluster's range.
fn within(found: Vec<OwnRange>) -> Vec<OwnRange> {
    let mut kept: Vec<OwnRange> = Vec::new();
    for range in &found {
        let holds = |other: &OwnRange| {
            other.lives == range.lives && other.range != range.range && other.range.contains(&range.range)
        };
        match found.iter().find(|other| holds(other)) {
            Some(_) => {}
            None => kept.push(range.clone()),
        }
    }
    for range in &found {
        let around = kept
            .iter_mut()
            .find(|other| other.lives == range.lives && other.range.contains(&range.range));
        if let Some(around) = around {
            around.sources.extend(range.sources.iter().cloned());
        }
    }
    kept
}

/// The smallest range that holds all addresses of a family.
fn covering(addresses: &[IpAddr]) -> Vec<IpNet> {
    let v4: Vec<u128> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(v4) => Some(u128::from(u32::from(*v4))),
            IpAddr::V6(_) => None,
        })
        .collect();
    let v6: Vec<u128> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(u128::from(*v6)),
        })
        .collect();
    // Bits that all of a family have in common, from the left.
    let common = |all: &[u128]| {
        let first = *all.first()?;
        let differing = all.iter().fold(0, |bits, address| bits | (address ^ first));
        Some((first, u8::try_from(differing.leading_zeros()).unwrap_or(128)))
    };
    let mut ranges = Vec::new();
    if let Some((first, bits)) = common(&v4)
        && let Ok(range) = Ipv4Net::new(
            u32::try_from(first).unwrap_or_default().into(),
            bits.saturating_sub(96).min(32),
        )
    {
        ranges.push(IpNet::V4(range.trunc()));
    }
    if let Some((first, bits)) = common(&v6)
        && let Ok(range) = Ipv6Net::new(first.into(), bits.min(128))
    {
        ranges.push(IpNet::V6(range.trunc()));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_read_from_a_refusal() {
        for (message, range) in [
            (
                "failed to allocate IP 1.1.1.1: the provided IP (1.1.1.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12",
                Some("10.96.0.0/12"),
            ),
            ("the provided network does not match the current range", None),
        ] {
            assert_eq!(range_of(message), range);
        }
    }

    #[test]
    fn nodes_are_covered_by_the_smallest_range_of_each_family() {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let texts = |addresses: &[&str]| {
            covering(&read(addresses))
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(&["10.0.16.4", "10.0.17.200", "10.0.31.1"]), ["10.0.16.0/20"]);
        assert_eq!(texts(&["192.168.1.7"]), ["192.168.1.7/32"]);
        assert_eq!(
            texts(&["10.0.0.1", "fd00::1", "fd00::2"]),
            ["10.0.0.1/32", "fd00::/126"]
        );
        assert!(covering(&[]).is_empty());
    }

    #[test]
    fn a_nodes_range_is_part_of_its_clusters() {
        let mut search = Search::default();
        search.add_list(Lives::Pods, "10.244.0.0/16,fd00:1::/48", "kubeadm-config");
        search.add(Lives::Pods, "10.244.1.0/24", "the nodes' podCIDRs", true);
        search.add(Lives::Services, "10.96.0.1/12", "kubeadm-config", true);
        search.add(Lives::Services, "nonsense", "x", true);
        let found = within(search.found.into_values().collect());
        let ranges: Vec<_> = found
            .iter()
            .map(|range| (range.lives, range.range.to_string()))
            .collect();
        assert_eq!(
            ranges,
            [
                (Lives::Services, "10.96.0.0/12".to_string()),
                (Lives::Pods, "10.244.0.0/16".to_string()),
                (Lives::Pods, "fd00:1::/48".to_string()),
            ]
        );
        assert_eq!(found[1].sources.len(), 2, "both say so");
    }
}
