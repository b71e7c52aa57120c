//! Virtual hosts and routes of one port.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use super::{
    Cluster, DestinationEdits, RetryPolicy, Treatment,
    conditions::Condition,
    hosts::{self, HostMap},
    registry::RegistryService,
};
use crate::model::{HashKey, MeshConfig, ObjectRef, Redirect, Retries};

/// The route configuration of one port (or of one sniffed virtual address).
#[derive(Debug, Clone, Default)]
pub(super) struct RouteTable {
    /// The port, where it is that of everything on a port.
    pub port: Option<u16>,
    pub domains: HostMap<Arc<VirtualHost>>,
    pub otherwise: Otherwise,
    /// How many services it serves.
    pub services: usize,
    /// Domains that several virtual hosts have asked for; the first has them.
    pub contested: HashSet<Arc<str>>,
}

/// What takes requests whose authority is in no domain.
#[derive(Debug, Clone, Default)]
pub(super) enum Otherwise {
    /// The outbound mode decides.
    #[default]
    Mode,
    /// This virtual host takes them too.
    VirtualHost(Arc<VirtualHost>),
    /// Nothing: 404.
    Nothing,
}

/// One virtual host.
#[derive(Debug)]
pub(super) struct VirtualHost {
    /// `host:port`; with `/*` behind it where the only route is to its own service, whose operation is called so.
    text: Box<str>,
    pub object: ObjectRef,
    pub routes: Routes,
}

/// The routes of a virtual host.
#[derive(Debug)]
pub(super) enum Routes {
    /// In order.
    Several(Arc<[Route]>),
    /// One, to its own service: that of nearly every host of a large policy, kept in little space.
    Own(OwnRoute),
}

/// The route `default` to a service that no VirtualService has.
#[derive(Debug)]
pub(super) struct OwnRoute {
    pub cluster: Arc<Cluster>,
    pub retries: Option<Arc<RetryPolicy>>,
    /// The service is told the operation.
    pub traced: bool,
    /// Line of the host in the object of the virtual host.
    pub line: u32,
}

/// Istio's name of a route that no VirtualService makes.
pub(super) const DEFAULT_ROUTE: &str = "default";

/// What matches everything below a host, behind the host's name.
const EVERY_PATH: &str = "/*";

impl VirtualHost {
    pub fn new(host: &str, port: u16, object: ObjectRef, routes: Routes) -> Self {
        // An address has brackets in the name, and so has not what its operation is called; see `own`.
        let name = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let text = match &routes {
            Routes::Several(_) => name,
            Routes::Own(_) => name + EVERY_PATH,
        };
        Self {
            text: text.into(),
            object,
            routes,
        }
    }

    /// `host:port`.
    pub fn name(&self) -> &str {
        match &self.routes {
            Routes::Several(_) => &self.text,
            Routes::Own(_) => self.text.strip_suffix(EVERY_PATH).unwrap_or(&self.text),
        }
    }

    /// What its own route is called for tracing: Istio's name for every path of the service.
    pub fn own_operation(&self) -> &str {
        &self.text
    }
}

/// One route: a condition and an action.
#[derive(Debug)]
pub(super) struct Route {
    pub name: Option<Arc<str>>,
    pub condition: Option<Box<Condition>>,
    pub action: RouteAction,
    pub operation: Option<String>,
    pub object: ObjectRef,
    /// What it does beside its action.
    pub treatment: Option<Box<Treatment>>,
}

/// What a route does.
#[derive(Debug)]
pub(super) enum RouteAction {
    Forward {
        clusters: Vec<WeightedCluster>,
        timeout: Option<Duration>,
        retries: Option<Arc<RetryPolicy>>,
        /// What of a request is hashed.
        hash: Box<[HashKey]>,
    },
    Redirect(Redirect),
    Respond {
        status: u16,
        body: Arc<[u8]>,
    },
    /// A redirect code that Envoy cannot send: the route does nothing (404).
    Nothing,
}

/// A cluster with its weight; `None` where the cluster does not exist.
#[derive(Debug)]
pub(super) struct WeightedCluster {
    pub cluster: Option<Arc<Cluster>>,
    pub name: Arc<str>,
    pub weight: u32,
    /// Edits of its own, where it is one of several.
    pub edits: Option<Box<DestinationEdits>>,
}

impl RouteTable {
    /// Adds a virtual host under its domains; the first owner of a domain keeps it, a host left without domains is
    /// dropped (Istio reports it as `pilot_vservice_dup_domain`).
    pub fn add(&mut self, virtual_host: VirtualHost, domains: Vec<Arc<str>>) {
        let virtual_host = Arc::new(virtual_host);
        for domain in domains {
            if !self.domains.insert(domain.clone(), virtual_host.clone()) {
                self.contested.insert(hosts::shared_lower_case(&domain));
            }
        }
    }

    /// The same table with what `new` has in the place of what `old` has, which are parts of it, before a change and after
    /// it. `None` where others have a part in these.
    pub fn patched(self: &Arc<Self>, old: &Self, new: &Self) -> Option<Arc<Self>> {
        if old.domains.is_empty() && new.domains.is_empty() {
            return Some(self.clone());
        }
        let mut names = old.domains.names()?.chain(new.domains.names()?);
        if names.any(|name| self.contested.contains(name)) {
            return None;
        }
        let mut patched = Self::clone(self);
        patched.domains.replace(&old.domains, &new.domains)?;
        patched.services = (self.services + new.services).checked_sub(old.services)?;
        patched.contested.extend(new.contested.iter().cloned());
        // Without a service there is no listener that asks for it.
        ((patched.services == 0) == (self.services == 0)).then(|| Arc::new(patched))
    }

    /// The virtual host for an authority.
    pub fn virtual_host(&self, authority: &str) -> Option<&VirtualHost> {
        let otherwise = match &self.otherwise {
            Otherwise::VirtualHost(virtual_host) => Some(virtual_host),
            Otherwise::Mode | Otherwise::Nothing => None,
        };
        let found = self.domains.get(hosts::strip_port(authority)).or(otherwise);
        found.map(|virtual_host| &**virtual_host)
    }
}

/// Domains of a service: its host, the host with a trailing dot, the short names of a Service seen from
/// `own_namespace` unless they are the host of a service that `is_known`, and its addresses.
pub(super) fn domains(
    host: &Arc<str>,
    own_namespace: &str,
    service: &RegistryService,
    mut is_known: impl FnMut(&str) -> bool,
) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for own in std::iter::once(host).chain(&service.aliases) {
        names.push(own.clone());
        let others = other_names(own, own_namespace).into_iter();
        names.extend(others.filter(|name| !is_known(name)).map(Into::into));
    }
    if service.is_headless() {
        // A pod of the service by its name.
        let pods: Vec<Arc<str>> = names.iter().map(|name| format!("*.{name}").into()).collect();
        names.extend(pods);
    }
    names.extend(service.virtual_ips().map(|address| match address {
        IpAddr::V4(address) => address.to_string().into(),
        IpAddr::V6(address) => format!("[{address}]").into(),
    }));
    names
}

/// Other names of a host: with a trailing dot, and the short ones of a Service seen from `own_namespace`.
pub(super) fn other_names(host: &str, own_namespace: &str) -> Vec<String> {
    let mut names = vec![format!("{host}.")];
    if let Some(short) = host.strip_suffix(".svc.cluster.local")
        && let Some((name, namespace)) = short.split_once('.')
    {
        if namespace == own_namespace {
            names.push(name.to_string());
        }
        names.extend([short.to_string(), format!("{short}.svc")]);
    }
    names
}

/// The index that `draw` picks among weights.
pub(super) fn pick(weights: impl Iterator<Item = u32> + Clone, draw: u32) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    let mut left = u64::from(draw).checked_rem(total)?;
    for (index, weight) in weights.enumerate() {
        if left < u64::from(weight) {
            return Some(index);
        }
        left -= u64::from(weight);
    }
    None
}

/// Istio 1.24 and newer, where a route says nothing.
const DEFAULT_RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/// Envoy's base of the wait between attempts.
const BACK_OFF: Duration = Duration::from_millis(25);

/// The retry policy of a route: its own, else the mesh's, else two retries when connecting fails or a stream is refused;
/// `None` where retries are switched off. Where the route has one destination and hashes (`hashes`), what the hash has chosen
/// is chosen again.
pub(super) fn retries(own: Option<&Retries>, mesh: &MeshConfig, hashes: bool) -> Option<RetryPolicy> {
    let default = Retries {
        attempts: 2,
        ..Retries::default()
    };
    let retries = own.or(mesh.default_retries.as_ref()).unwrap_or(&default);
    (retries.attempts > 0).then(|| RetryPolicy {
        avoid_previous_hosts: retries.ignore_previous_hosts.unwrap_or(!hashes),
        ..retry_policy(retries)
    })
}

/// Words of `retryOn` that stand for a status of gRPC.
const GRPC_WORDS: [(&str, u8); 5] = [
    ("cancelled", 1),
    ("deadline-exceeded", 4),
    ("resource-exhausted", 8),
    ("internal", 13),
    ("unavailable", 14),
];

/// Istio: numbers among the words are statuses, and stand in a list of their own.
fn retry_policy(retries: &Retries) -> RetryPolicy {
    let written = retries.retry_on.as_deref().unwrap_or(DEFAULT_RETRY_ON);
    let status = |word: &str| word.parse().ok().filter(|status| is_status(*status));
    let parts = || written.split(',').map(str::trim).filter(|word| !word.is_empty());
    let statuses: Vec<u16> = parts().filter_map(status).collect();
    let words: Vec<&str> = parts().filter(|word| status(word).is_none()).collect();
    let mut retry_on = words.join(",");
    if !statuses.is_empty() && !words.contains(&"retriable-status-codes") {
        // Istio: with its comma, also where nothing stands before it.
        retry_on.push_str(",retriable-status-codes");
    }
    let any = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
    // Envoy takes a reset for a 5xx, and a connection that failed for a reset before the request.
    let reset = any(&["5xx", "gateway-error", "reset"]);
    RetryPolicy {
        attempts: retries.attempts,
        per_try_timeout: retries.per_try_timeout,
        connect_failure: reset || any(&["connect-failure", "reset-before-request"]),
        refused_stream: reset || any(&["refused-stream"]),
        reset,
        server_error: any(&["5xx"]),
        gateway_error: any(&["gateway-error"]),
        conflict: any(&["retriable-4xx"]),
        grpc_statuses: GRPC_WORDS
            .iter()
            .filter(|(word, _)| any(&[word]))
            .map(|(_, status)| *status)
            .collect(),
        retry_on,
        statuses,
        back_off: retries.back_off.unwrap_or(BACK_OFF),
        avoid_previous_hosts: true,
    }
}

/// A number that Go's net/http knows as a status; Istio takes no other one for it.
pub(crate) fn is_status(number: u16) -> bool {
    matches!(number, 100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451
        | 500..=508 | 510 | 511)
}
