//! Whether the nodes have the sidecar's image, as far as they say.

use crate::cluster::Node;

/// A kubelet names that many images at most, the largest ones (`nodeStatusMaxImages`): the sidecar's is a small one.
const NAMED: usize = 50;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(images: usize) -> Node {
        Node {
            images: (0..images).map(|number| format!("i:{number}")).collect(),
            ..Node::default()
        }
    }

    #[test]
    fn an_image_is_missing_only_where_a_node_names_all_that_it_has() {
        assert_eq!(there(&[node(3)], "i:1"), There::Everywhere);
        assert_eq!(there(&[node(3), node(1)], "i:2"), There::Missing(1, 2));
        assert_eq!(there(&[node(3)], "egret:1"), There::Nowhere);
        assert_eq!(there(&[node(NAMED)], "egret:1"), There::Unsaid);
    }
}
