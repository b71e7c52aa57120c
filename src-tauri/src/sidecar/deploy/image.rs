//! How the sidecar's image comes to the nodes: each distribution has its own way for an archive.

use crate::cluster::Node;

/// A kubelet names that many images at most, the largest ones (`nodeStatusMaxImages`): the sidecar's is a small one.
const NAMED: usize = 50;
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
    /// A node has more images than it names.
    Unsaid,
}

/// What the nodes say of `image`.
pub fn there(nodes: &[Node], image: &str) -> There {
    let has = |node: &&Node| node.images.iter().any(|name| name == image);
    let missing: Vec<_> = nodes.iter().filter(|node| !has(node)).collect();
    if missing.iter().any(|node| node.images.len() >= NAMED) {
        return There::Unsaid;
    }
    match missing.len() {
        0 => There::Everywhere,
        all if all == nodes.len() => There::Nowhere,
        some => There::Missing(some, nodes.len()),
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
            images: (0..images).map(|number| format!("i:{number}")).collect(),
        }
    }

    #[test]
    fn an_image_is_missing_only_where_a_node_names_all_that_it_has() {
        assert_eq!(there(&[node("", 3)], "i:1"), There::Everywhere);
        assert_eq!(there(&[node("", 3), node("", 1)], "i:2"), There::Missing(1, 2));
        assert_eq!(there(&[node("", 3)], "egret:1"), There::Nowhere);
        assert_eq!(there(&[node("", NAMED)], "egret:1"), There::Unsaid);
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
