//! Names to addresses: fixed names first, then those of a cluster, then the system's resolver with its TTL cache.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use hickory_resolver::TokioResolver;

use super::{Forwarder, Unresolved};

/// Resolves names for one worker.
#[derive(Debug, Clone)]
pub struct Resolver {
    fixed: Arc<HashMap<String, Vec<IpAddr>>>,
    forwarder: Option<Forwarder>,
    /// `None` where the system has no usable resolver configuration: then only fixed names resolve.
    system: Option<TokioResolver>,
    /// What the names of policy objects last resolved to; as many as policy has ever named.
    last: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
    /// Names of requests that failed.
    unresolved: Unresolved,
}

impl Resolver {
    /// A resolver with fixed names (`--host NAME=ADDR`), and what those of other workers could not resolve. Needs a runtime.
    pub fn new(fixed: Arc<HashMap<String, Vec<IpAddr>>>, unresolved: Unresolved) -> Self {
        let system = TokioResolver::builder_tokio().and_then(|builder| builder.build()).ok();
        Self {
            fixed,
            forwarder: None,
            system,
            last: Arc::default(),
            unresolved,
        }
    }

    /// The same, with the names that `forwarder` knows.
    pub fn through(self, forwarder: Option<Forwarder>) -> Self {
        Self { forwarder, ..self }
    }

    /// Addresses of a name that a request asks for, for a port of it. What failed a short time ago fails without waiting.
    pub async fn resolve_asked(&self, name: &str, port: u16) -> io::Result<Vec<IpAddr>> {
        let key = || format!("{}:{port}", name.to_ascii_lowercase());
        if !self.unresolved.is_empty()
            && let Some(error) = self.unresolved.of(&key(), Instant::now())
        {
            return Err(error);
        }
        let found = match is_asked_for(name) {
            true => self.resolve(name).await,
            false => Err(io::Error::new(ErrorKind::InvalidInput, "no domain name")),
        };
        if let Err(error) = &found {
            self.unresolved.note(&key(), error, Instant::now());
        }
        found
    }

    /// Addresses of a name that policy declares. A DNS server that fails does not take away what was known, as in Envoy.
    pub async fn resolve_declared(&self, name: &str) -> Vec<IpAddr> {
        let found = self.resolve(name).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(addresses) => {
                if last.get(name) != Some(&addresses) {
                    last.insert(name.to_string(), addresses.clone());
                }
                addresses
            }
            Err(_) => last.get(name).cloned().unwrap_or_default(),
        }
    }

    /// Addresses of `name`, IPv4 first; an address stands for itself.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![address]);
        }
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if let Some(addresses) = self.fixed.get(&plain) {
            return Ok(addresses.clone());
        }
        if let Some(forwarder) = &self.forwarder
            && let Some(addresses) = Box::pin(forwarder.resolve(&plain)).await?
        {
            return Ok(addresses);
        }
        let Some(system) = &self.system else {
            return Err(io::Error::other(format!(
                "{plain} is no fixed name and this system has no resolver"
            )));
        };
        // In a box, as the forwarder's answer: every request has room for what may be asked on its way, and few ask.
        let found = Box::pin(system.lookup_ip(plain)).await.map_err(|error| {
            // So that what does not exist can be told from a server that does not answer.
            let kind = if error.is_nx_domain() {
                ErrorKind::NotFound
            } else {
                ErrorKind::Other
            };
            io::Error::new(kind, error)
        })?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }
}

/// What c-ares, Envoy's resolver, asks a server about: labels of up to 63 of these letters; and addresses, which need none.
/// One of IPv6 within brackets, as a Host has it, Envoy takes for a name that is none.
fn is_asked_for(name: &str) -> bool {
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let known = |letter: u8| letter.is_ascii_alphanumeric() || b"-_/*".contains(&letter);
    let mut labels = name.split('.');
    name.len() <= 253 && labels.all(|label| (1..=63).contains(&label.len()) && label.bytes().all(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_looked_up_nowhere() {
        for name in [
            "a.com",
            "a_b.com",
            "-a.com",
            "*.a.com",
            "single",
            "256.1.1.1",
            "a.com.",
            "::1",
        ] {
            assert!(is_asked_for(name), "{name}");
        }
        let long = "a".repeat(64);
        let longer = [&long[..60]; 5].join(".");
        for name in [
            "",
            ".com",
            "x..com",
            "a..",
            "a%.com",
            "a:b",
            "[a]",
            "[fd00::1]",
            "a@b.com",
            &long,
            &longer,
        ] {
            assert!(!is_asked_for(name), "{name}");
        }
    }
}
