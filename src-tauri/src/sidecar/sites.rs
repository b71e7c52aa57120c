//! The playground's sites: started once, when first needed, and there until the app ends.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Mutex,
};

use proxy_core::sites::{SITES, Sites};

use crate::{
    dto,
    fault::{Fault, Result},
};

static RUNNING: Mutex<Option<&'static Sites>> = Mutex::new(None);

/// The running sites.
#[derive(Debug, Clone, Copy)]
pub struct World(&'static Sites);

impl World {
    /// Starts the sites unless they run already; their authority's certificate is written into `folder`.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sites) = *running {
            return Ok(Self(sites));
        }
        let sites = Sites::start(folder).map_err(|error| Fault::new("sites", error.to_string()))?;
        // They run until the process ends, so that what describes them may live as long.
        let sites: &'static Sites = Box::leak(Box::new(sites));
        *running = Some(sites);
        Ok(Self(sites))
    }

    /// What the sidecar connects to where a site's address is asked for.
    pub fn map(&self) -> &'static [(SocketAddr, SocketAddr)] {
        &self.0.map
    }

    /// What the sites' names resolve to.
    pub fn hosts(&self) -> &'static [(String, IpAddr)] {
        &self.0.hosts
    }

    /// The certificate authority's file.
    pub fn ca(&self) -> &'static Path {
        &self.0.ca
    }
}

/// All sites, for the window.
pub fn rows() -> Vec<dto::Site> {
    let rows = SITES.iter().map(|site| dto::Site {
        host: site.host.into(),
        address: site.address.to_string(),
        ports: site.ports.to_vec(),
        what: site.what.into(),
    });
    rows.collect()
}
