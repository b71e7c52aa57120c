//! Names to addresses: fixed names first, then the system's resolver with its TTL cache.

use std::{collections::HashMap, io, net::IpAddr, sync::Arc};

use hickory_resolver::TokioResolver;

/// Resolves names for one worker.
#[derive(Debug, Clone)]
pub struct Resolver {
    fixed: Arc<HashMap<String, Vec<IpAddr>>>,
    /// `None` where the system has no usable resolver configuration: then only fixed names resolve.
    system: Option<TokioResolver>,
}

impl Resolver {
    /// A resolver with fixed names (`--host NAME=ADDR`). Needs a runtime.
    pub fn new(fixed: Arc<HashMap<String, Vec<IpAddr>>>) -> Self {
        let system = TokioResolver::builder_tokio().and_then(|builder| builder.build()).ok();
        Self { fixed, system }
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
        let Some(system) = &self.system else {
            return Err(io::Error::other(format!(
                "{plain} is no fixed name and this system has no resolver"
            )));
        };
        let found = system.lookup_ip(plain).await.map_err(io::Error::other)?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }
}
