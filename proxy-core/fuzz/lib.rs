//! What fuzz targets share: manifests as the engine reads them, and facts made of arbitrary bytes.

use std::{net::SocketAddr, sync::Arc};

use proxy_core::{
    model::{self, World},
    policy::{Claims, Facts, HttpClaims, HttpVersion, Snapshot, explain},
    sniff::{Sniffed, sniff},
    yaml,
};

/// The objects of `bytes` that can be read.
pub fn world(bytes: &[u8]) -> World {
    let (mut world, mut order, mut errors) = (World::default(), 0, Vec::new());
    let file = Arc::from("fuzz.yaml");
    for document in yaml::read(bytes).unwrap_or_default() {
        model::add_document(&document, &file, &mut order, &mut world, &mut errors);
    }
    world
}

/// The address and what is spoken, as `snapshot` is asked about it, told by `bytes`: the first six are the destination, the
/// seventh the protocol, and the lines behind them name, method and path.
pub fn with_facts<T>(bytes: &[u8], snapshot: &Snapshot, ask: impl FnOnce(&Facts<'_>) -> T) -> Option<T> {
    let (head, rest) = bytes.split_at_checked(7)?;
    let address: [u8; 4] = head[..4].try_into().ok()?;
    let port = u16::from_be_bytes([head[4], head[5]]);
    let text = std::str::from_utf8(rest).ok()?;
    let mut lines = text.split('\n');
    let (name, method, path) = (lines.next(), lines.next().unwrap_or("GET"), lines.next().unwrap_or("/"));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.to_string()))
        .collect();
    let lower = name.map(str::to_ascii_lowercase);
    let path = &*snapshot.normalised(path);
    let http = |version| {
        Claims::Http(HttpClaims {
            version,
            method,
            authority: name,
            path,
            headers: &headers,
        })
    };
    let claims = match head[6] % 6 {
        0 => Claims::Tcp,
        1 => Claims::Tls { sni: lower.as_deref() },
        2 => Claims::Tls { sni: None },
        3 => http(HttpVersion::Http10),
        4 => http(HttpVersion::H2c),
        _ => http(HttpVersion::Http11),
    };
    Some(ask(&Facts {
        destination: SocketAddr::from((address, port)),
        claims,
        draw: u32::from(head[6]),
    }))
}

/// How a request to a declared host is decided about, with every step: that makes the tables its endpoints are chosen by.
pub fn call_declared(world: &World, snapshot: &Snapshot) {
    let entries = world.service_entries.iter().take(MOST_CALLED);
    for entry in entries {
        let (host, ports) = (entry.spec.hosts.first(), entry.spec.ports.iter().take(MOST_CALLED));
        for port in ports {
            let facts = Facts {
                destination: SocketAddr::from(([1, 2, 3, 4], port.number)),
                claims: Claims::Http(HttpClaims {
                    version: HttpVersion::Http11,
                    method: "GET",
                    authority: host.map(|host| &**host),
                    path: "/x?q=1",
                    headers: &vec![("x-user".to_string(), "u".to_string())],
                }),
                draw: 0,
            };
            explain(snapshot, &facts);
        }
    }
}

/// Entries, and ports of each, that calls are made to.
const MOST_CALLED: usize = 4;

/// What `bytes` are is told the same however they arrive, and once told, it stays.
pub fn sniffs_the_same_in_any_pieces(bytes: &[u8]) {
    let whole = sniff(bytes);
    let mut told = None;
    for end in 0..=bytes.len().min(2048) {
        let found = sniff(&bytes[..end]);
        if let Some(earlier) = &told {
            assert_eq!(&found, earlier, "after {end} bytes");
        } else if !matches!(found, Sniffed::NeedMore) {
            told = Some(found);
        }
    }
    if bytes.len() <= 2048 {
        assert_eq!(told.unwrap_or(Sniffed::NeedMore), whole);
    }
}
