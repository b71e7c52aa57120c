//! The hash of a request that chooses its endpoint. Source: Envoy's `HashPolicyImpl`.

use std::net::{IpAddr, SocketAddr};

use super::xx64::xx64;
use crate::model::{HashCookie, HashKey};

/// What is known of a request when it is hashed.
pub trait Hashed {
    /// Calls `each` with the values of the lines named `name`, lower case.
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8]));
    /// The path with its query.
    fn path(&self) -> &str;
    /// Who calls.
    fn source(&self) -> IpAddr;
}

/// The hash of a request by `keys`; `None` where it has nothing of them. `give` makes the value of a cookie that a caller
/// has none of and that is to be set.
pub fn hash_of(keys: &[HashKey], request: &dyn Hashed, give: &mut dyn FnMut(&HashCookie) -> String) -> Option<u64> {
    let mut hash: Option<u64> = None;
    for key in keys {
        let own = match key {
            HashKey::Header(name) => of_header(request, &name.to_ascii_lowercase()),
            HashKey::Cookie(cookie) => of_cookie(request, cookie, give),
            HashKey::SourceIp(used) => used.then(|| source_hash(request.source())),
            HashKey::QueryParameter(name) => of_parameter(request.path(), name),
        };
        if let Some(own) = own {
            // Rotated, so that equal hashes do not cancel each other out.
            hash = Some(hash.map_or(0, |before| before.rotate_left(1)) ^ own);
        }
    }
    hash
}

/// The hash of an address.
pub fn source_hash(source: IpAddr) -> u64 {
    xx64(source.to_string().as_bytes(), 0)
}

/// The value of a cookie that is given on a connection from `source` to `destination`.
pub fn connection_cookie(source: SocketAddr, destination: SocketAddr) -> String {
    format!("{:016x}", xx64(format!("{source}{destination}").as_bytes(), 0))
}

/// One line's value; of several lines the values in their order, each hash the seed of the next.
fn of_header(request: &dyn Hashed, name: &str) -> Option<u64> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    request.header(name, &mut |value| values.push(value.to_vec()));
    values.sort_unstable();
    let mut hashed = None;
    for value in &values {
        hashed = Some(xx64(value, hashed.unwrap_or(0)));
    }
    hashed
}

fn of_cookie(request: &dyn Hashed, cookie: &HashCookie, give: &mut dyn FnMut(&HashCookie) -> String) -> Option<u64> {
    let mut found = String::new();
    request.header("cookie", &mut |line| {
        let line = String::from_utf8_lossy(line);
        let own = line.split(';').find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == cookie.name).then_some(value)
        });
        if let Some(value) = own.filter(|_| found.is_empty()) {
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            found = quoted.unwrap_or(value).to_string();
        }
    });
    if found.is_empty() && cookie.ttl.is_some() {
        found = give(cookie);
    }
    (!found.is_empty()).then(|| xx64(found.as_bytes(), 0))
}

/// The first parameter of that name.
fn of_parameter(path: &str, name: &str) -> Option<u64> {
    let (_, query) = path.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| xx64(value.as_bytes(), 0))
    })
}
