//! Whether the nodes have the sidecar's image, as far as they say.

use crate::cluster::{Node, Nodes};

/// A kubelet says that many images at most, the largest ones (`nodeStatusMaxImages`): the sidecar's is a small one.
const SAID: usize = 50;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(images: usize) -> Node {
        Node {
            images,
            image_names: (0..images)
                .flat_map(|number| [format!("i@sha256:{number}"), format!("i:{number}")])
                .collect(),
            ..Node::default()
        }
    }

    fn all(seen: Vec<Node>) -> Nodes {
        Nodes { seen, are_all: true }
    }

    #[test]
    fn an_image_is_missing_only_where_every_node_says_all_that_it_has() {
        let two = all(vec![node(3), node(1)]);
        assert_eq!(there(&two, "i:0"), There::Everywhere);
        assert_eq!(there(&two, "i:2"), There::Missing(1, 2));
        assert_eq!(there(&two, "egret:1"), There::Nowhere);
        let full = |images| there(&all(vec![node(images)]), "egret:1");
        assert_eq!((full(SAID - 1), full(SAID)), (There::Nowhere, There::Unsaid));
        let first = Nodes { are_all: false, ..two };
        assert_eq!(there(&first, "i:0"), There::Unsaid, "others were not looked at");
        assert_eq!(there(&all(Vec::new()), "i:0"), There::Unsaid);
    }
}
