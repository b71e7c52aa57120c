//! The bodies of requests: what a call says of its own in the header `x-body`, and how long ones are told of.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::world::Call;

/// Longer bodies are told of by their length and a hash.
const LONG: usize = 1000;

/// The body of a request.
#[derive(Debug, Default)]
pub struct Body {
    /// One after the other, with a pause between where it is slow.
    pub pieces: Vec<Vec<u8>>,
    /// In HTTP/1.1 it is sent in chunks.
    pub chunked: bool,
}

impl Body {
    /// That of `call`. Its header `x-body` is a size and words: `chunked`, and `slow` for three pieces of that size.
    pub fn of(call: &Call) -> Self {
        if call.method != "POST" {
            return Self::default();
        }
        let Some(wanted) = call.headers.get("x-body") else {
            let pieces = vec![b"text".to_vec()];
            return Self { pieces, chunked: false };
        };
        let mut words = wanted.split(' ');
        let size: usize = words.next().and_then(|size| size.parse().ok()).unwrap_or_default();
        let words: Vec<&str> = words.collect();
        let count = if words.contains(&"slow") { 3 } else { 1 };
        // Numbered lines: what is lost, doubled or moved shows.
        let lines = (0..).flat_map(|line: usize| format!("{line:07}\n").into_bytes());
        let bytes: Vec<u8> = lines.take(size * count).collect();
        Self {
            pieces: bytes.chunks(size.max(1)).map(<[u8]>::to_vec).collect(),
            chunked: words.contains(&"chunked"),
        }
    }

    /// How long all of it is.
    pub fn size(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }
}

/// A body as it is, or a long one's length and hash.
pub fn brief(body: String) -> String {
    if body.len() <= LONG {
        return body;
    }
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("{} bytes, {:x}", body.len(), hasher.finish())
}
