//! Who of a cluster's endpoints is called and why, as a step of a decision.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Balance, Claims, Endpoints, ExplainedUpstream, Facts, Forward, Hashed, HttpClaims, Member, Members, Step, hash_of,
    steps::step,
};
use crate::model::HashKey;

/// At most so many addresses are named.
const NAMED: usize = 3;

/// The step. `forward` goes to the cluster, whose endpoints are `upstream`.
pub(super) fn endpoint_step(forward: &Forward<'_>, upstream: &ExplainedUpstream, facts: &Facts<'_>) -> Step {
    let mut parts = vec![whereabouts(upstream)];
    if let Some(balance) = forward.cluster.settings.balance.as_deref() {
        parts.extend(choice(forward, facts, balance));
    }
    step("endpoint", parts.join("; "), forward.cluster.object.clone())
}

fn whereabouts(upstream: &ExplainedUpstream) -> String {
    let addresses = &upstream.addresses;
    let mut named = addresses[..addresses.len().min(NAMED)].join(", ");
    if addresses.len() > NAMED {
        named.push_str(&format!(" and {} more", addresses.len() - NAMED));
    }
    match upstream.kind {
        "original_dst" => format!("{named}, the address that was called"),
        "dns" => format!("{named}, resolved by the sidecar"),
        "dynamic_dns" if addresses.is_empty() => "none: nothing was asked for by a name".into(),
        "dynamic_dns" => format!("{named}, resolved by the sidecar for this request"),
        _ if addresses.is_empty() => "none: the destination has no endpoint that is known here".into(),
        _ => named,
    }
}

/// How one is chosen, where something is said of that.
fn choice(forward: &Forward<'_>, facts: &Facts<'_>, balance: &Balance) -> Vec<String> {
    let mut parts = Vec::new();
    match &balance.spread {
        Some(spread) if spread.by_locality => parts.push(format!("a locality by its weight: {spread}")),
        Some(spread) => parts.push(spread.to_string()),
        None => {}
    }
    parts.push(match balance.balancer.hashes() {
        true => hashed(forward, facts, balance),
        false => balance.balancer.to_string(),
    });
    parts.extend(balance.warmup.map(|warmup| warmup.to_string()));
    if let Some(outlier) = &balance.outlier {
        parts.push(outlier.to_string());
        if balance.panic_percent > 0 {
            parts.push(format!(
                "with less than {} % left all are called",
                balance.panic_percent
            ));
        }
    }
    parts
}

/// What is hashed, and whom it leads to.
fn hashed(forward: &Forward<'_>, facts: &Facts<'_>, balance: &Balance) -> String {
    let by_source = forward.stream.is_some_and(|stream| stream.by_source);
    let of: Vec<String> = match (facts.claims, by_source) {
        (_, true) => vec![name(&HashKey::SourceIp(true))],
        // Written `false`, the caller's address is no key.
        (Claims::Http(_), false) => {
            let keys = forward.hash.iter().filter(|key| **key != HashKey::SourceIp(false));
            keys.map(name).collect()
        }
        (_, false) => Vec::new(),
    };
    let by = match of.is_empty() {
        true => "no hash, so that one is drawn".to_string(),
        false => format!("by the hash of {}", of.join(" and ")),
    };
    let leads = match facts.claims {
        Claims::Http(http) => leads_to(forward, &http, balance),
        Claims::Tls { .. } | Claims::Tcp => None,
    };
    let leads = leads.map_or_else(String::new, |address| format!(", to {address} while all are well"));
    format!("{by}, {}{leads}", balance.balancer)
}

fn name(key: &HashKey) -> String {
    match key {
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie(cookie) if cookie.ttl.is_some() => {
            format!("cookie {}, which is set where there is none", cookie.name)
        }
        HashKey::Cookie(cookie) => format!("cookie {}", cookie.name),
        HashKey::SourceIp(_) => "the caller's address".into(),
        HashKey::QueryParameter(name) => format!("query parameter {name}"),
    }
}

/// The endpoint that a request's hash leads to, where its addresses are written and nothing is hashed that is not known here.
fn leads_to(forward: &Forward<'_>, http: &HttpClaims<'_>, balance: &Balance) -> Option<String> {
    let Endpoints::Static(addresses) = &forward.cluster.endpoints else {
        return None;
    };
    if forward.hash.contains(&HashKey::SourceIp(true)) {
        return None;
    }
    let mut given = false;
    let hash = hash_of(forward.hash, &Claimed(http), &mut |_| {
        given = true;
        String::new()
    })?;
    let places = balance.spread.as_ref().map(|spread| &spread.places);
    let member = |(index, address): (usize, &std::net::SocketAddr)| {
        let place = places.and_then(|places| places.get(index));
        Member {
            address: *address,
            weight: place.map_or(1, |place| place.weight),
            group: place.map_or(0, |place| place.group),
            is_healthy: true,
            warmth: 1.0,
        }
    };
    let members: Vec<Member> = addresses.iter().enumerate().map(member).collect();
    let chosen = Members::new(balance, &members, 0).choose(Some(hash), 0, |_| 0, |_| 1.0, || 0)?;
    (!given).then(|| members[chosen].address.to_string())
}

/// A request as far as it is claimed; who calls is not among that.
#[derive(Debug)]
struct Claimed<'c>(&'c HttpClaims<'c>);

impl Hashed for Claimed<'_> {
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.0.headers.any(name, &mut |value| {
            each(value.as_bytes());
            false
        });
    }

    fn path(&self) -> &str {
        self.0.path
    }

    fn source(&self) -> IpAddr {
        Ipv4Addr::UNSPECIFIED.into()
    }
}
