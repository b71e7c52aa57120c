//! What the first bytes of a connection are. Pure and incremental: give all bytes received so far, get an answer or
//! `NeedMore`.
//!
//! Envoy: the TLS inspector reads a whole ClientHello, however it is split over records and segments; the HTTP inspector
//! takes the HTTP/2 preface or a request line. "Could not tell yet" is never "opaque".

mod http;
mod tls;

pub use http::HttpHead;

/// Most bytes that are read to tell a protocol; Envoy's inspectors stop there too.
pub const MAX_BYTES: usize = 64 * 1024;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sniffed {
    /// A ClientHello.
    Tls {
        /// Server name in lower case; `None` when the hello carries none.
        sni: Option<String>,
    },
    /// An HTTP/1 request, as far as its Host.
    Http1(HttpHead),
    /// The HTTP/2 connection preface.
    Http2,
    /// Neither.
    Other,
    /// Not enough bytes to tell.
    NeedMore,
}

/// Tells what `bytes` begin. More than [`MAX_BYTES`] without an answer are `Other`.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    let found = match bytes.first() {
        None => Sniffed::NeedMore,
        Some(0x16) => tls::sniff(bytes),
        Some(_) => http::sniff(bytes),
    };
    if found == Sniffed::NeedMore && bytes.len() >= MAX_BYTES {
        Sniffed::Other
    } else {
        found
    }
}

#[cfg(test)]
mod tests;
