//! How the sidecar's image comes to the nodes: each distribution has its own way for an archive.

use crate::cluster::{Node, Nodes};

/// A kubelet says that many images at most, the largest ones (`nodeStatusMaxImages`): the sidecar's is a small one.
const SAID: usize = 50;
/// What the image is written to.
const ARCHIVE: &str = "egret-proxy.tar";

/// Where the image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    Everywhere,
    /// Missing on some nodes: how many, of how many.
    Missing(usize, usize),
    /// No node has it.
    Nowhere,
    /// A node has more images than it says, or not all nodes were looked at.
    Unsaid,
}

/// What the nodes say of `image`.
pub fn there(nodes: &Nodes, image: &str) -> There {
    let has = |node: &&Node| node.image_names.iter().any(|name| name == image);
    let missing: Vec<_> = nodes.seen.iter().filter(|node| !has(node)).collect();
    if !nodes.are_all || nodes.seen.is_empty() || missing.iter().any(|node| node.images >= SAID) {
        return There::Unsaid;
    }
    match missing.len() {
        0 => There::Everywhere,
        all if all == nodes.seen.len() => There::Nowhere,
        some => There::Missing(some, nodes.seen.len()),
    }
}

/// The commands that bring the image to nodes like these.
pub fn command(nodes: &[Node], image: &str) -> String {
    let node = nodes.first().cloned().unwrap_or_default();
    let bring = if let Some(rest) = node.provider.strip_prefix("kind://") {
        let cluster = rest.split('/').nth(1).unwrap_or("kind");
        format!("kind load image-archive {ARCHIVE} --name {cluster}")
    } else if node.labels.iter().any(|label| label == "minikube.k8s.io/name") {
        format!("minikube image load {ARCHIVE}")
    } else if let Some(cluster) = node
        .provider
        .strip_prefix("k3s://k3d-")
        .and_then(|name| name.split("-server-").next())
    {
        format!("k3d image import {ARCHIVE} --cluster {cluster}")
    } else if node.provider.starts_with("k3s://") {
        format!("sudo k3s ctr images import {ARCHIVE}   # on each node")
    } else if nodes.len() == 1 && node.runtime.starts_with("containerd://") {
        format!("sudo ctr --namespace k8s.io images import {ARCHIVE}   # on the node")
    } else {
        let name = image.rsplit('/').next().unwrap_or(image);
        format!("skopeo copy oci-archive:{ARCHIVE} docker://REGISTRY/{name}   # then name REGISTRY/{name} as the image")
    };
    format!("egret-proxy image --output {ARCHIVE} && {bring}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(provider: &str, images: usize) -> Node {
        Node {
            name: "n".into(),
            provider: provider.into(),
            labels: Vec::new(),
            runtime: "containerd://2.1.4".into(),
            images,
            image_names: (0..images)
                .flat_map(|number| [format!("i@sha256:{number}"), format!("i:{number}")])
                .collect(),
        }
    }

    fn all(seen: Vec<Node>) -> Nodes {
        Nodes { seen, are_all: true }
    }

    #[test]
    fn an_image_is_missing_only_where_every_node_says_all_that_it_has() {
        let two = all(vec![node("", 3), node("", 1)]);
        assert_eq!(there(&two, "i:0"), There::Everywhere);
        assert_eq!(there(&two, "i:2"), There::Missing(1, 2));
        assert_eq!(there(&two, "egret:1"), There::Nowhere);
        let full = |images| there(&all(vec![node("", images)]), "egret:1");
        assert_eq!((full(SAID - 1), full(SAID)), (There::Nowhere, There::Unsaid));
        let first = Nodes { are_all: false, ..two };
        assert_eq!(there(&first, "i:0"), There::Unsaid, "others were not looked at");
        assert_eq!(there(&all(Vec::new()), "i:0"), There::Unsaid);
    }

    #[test]
    fn each_distribution_has_its_own_way() {
        for (provider, way) in [
            (
                "kind://docker/dev/dev-worker",
                "kind load image-archive egret-proxy.tar --name dev",
            ),
            (
                "k3s://k3d-shop-server-0",
                "k3d image import egret-proxy.tar --cluster shop",
            ),
            ("k3s://box", "k3s ctr images import"),
            ("", "ctr --namespace k8s.io images import"),
        ] {
            let command = command(&[node(provider, 0)], "egret.dev/egret-proxy:1");
            assert!(command.contains(way), "{command}");
        }
        let cloud = command(&[node("aws:///a", 0), node("aws:///b", 0)], "egret.dev/egret-proxy:1");
        assert!(cloud.contains("docker://REGISTRY/egret-proxy:1"), "{cloud}");
    }
}
