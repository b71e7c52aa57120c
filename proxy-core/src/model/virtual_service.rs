//! VirtualService: routes, timeouts and retries for hosts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::{Cors, Fault, Headers, Labels, Mirror, Percentage, Rewrite, TextMatch};

/// Spec of a VirtualService.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VirtualService {
    /// Hosts, as written.
    pub hosts: Vec<Arc<str>>,
    /// `gateways`; empty means `mesh`.
    pub gateways: Vec<String>,
    /// `exportTo`; empty means the mesh's default.
    pub export_to: Vec<String>,
    /// Routes for HTTP-class ports.
    pub http: Vec<HttpRoute>,
    /// Routes for TLS-class ports.
    pub tls: Vec<L4Route>,
    /// Routes for TCP-class ports.
    pub tcp: Vec<L4Route>,
}

/// One `http[]` entry. What is seldom written stands apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpRoute {
    /// `name`, for the access log.
    pub name: Option<Arc<str>>,
    /// Line of the entry.
    pub line: u32,
    /// Conditions, any of which suffices; empty matches all.
    pub matches: Vec<HttpMatch>,
    /// Weighted destinations.
    pub route: Vec<RouteDestination>,
    /// `redirect`.
    pub redirect: Option<Box<Redirect>>,
    /// `directResponse`.
    pub direct_response: Option<DirectResponse>,
    /// `delegate`: the VirtualService that supplies the routes here.
    pub delegate: Option<Delegate>,
    /// `timeout`; `None` is no limit.
    pub timeout: Option<Duration>,
    /// Line of `timeout`, 0 when absent.
    pub timeout_line: u32,
    /// `retries`.
    pub retries: Option<Retries>,
    /// `rewrite`.
    pub rewrite: Option<Box<Rewrite>>,
    /// `headers`.
    pub headers: Option<Box<Headers>>,
    /// `fault`.
    pub fault: Option<Box<Fault>>,
    /// `mirror`: where copies of requests are sent.
    pub mirror: Option<Box<RouteDestination>>,
    /// `mirrorPercentage`.
    pub mirror_percentage: Option<Percentage>,
    /// `mirrorPercent`, which is older and counts only without the other one.
    pub mirror_percent: Option<Percentage>,
    /// `mirrors`, the same for several places.
    pub mirrors: Vec<Mirror>,
    /// Line of `mirror` or `mirrors`, 0 when absent.
    pub mirror_line: u32,
    /// `corsPolicy`.
    pub cors: Option<Box<Cors>>,
}

/// A VirtualService without hosts, which only supplies routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delegate {
    /// Name.
    pub name: Arc<str>,
    /// Namespace; `None` is that of the VirtualService that names it.
    pub namespace: Option<Arc<str>>,
}

/// One element of `http[].match[]`; all conditions must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpMatch {
    /// `name`.
    pub name: Option<Arc<str>>,
    /// Path without query.
    pub uri: Option<TextMatch>,
    /// `ignoreUriCase`.
    pub ignore_uri_case: bool,
    /// `:method`.
    pub method: Option<TextMatch>,
    /// `:scheme`.
    pub scheme: Option<TextMatch>,
    /// `:authority`, with its port.
    pub authority: Option<TextMatch>,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, TextMatch>,
    /// Headers that must not match.
    pub without_headers: BTreeMap<String, TextMatch>,
    /// Query parameters by name.
    pub query_params: BTreeMap<String, TextMatch>,
    /// Listener port.
    pub port: Option<u16>,
    /// Labels of the caller.
    pub source_labels: Labels,
    /// Namespace of the caller.
    pub source_namespace: Option<String>,
    /// Gateways; when present only `mesh` counts on sidecars.
    pub gateways: Vec<String>,
}

/// A destination with its weight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteDestination {
    /// Host as written.
    pub host: Arc<str>,
    /// Subset.
    pub subset: Option<Arc<str>>,
    /// Port of the destination service.
    pub port: Option<u16>,
    /// Weight.
    pub weight: u32,
    /// `headers`, of HTTP routes alone; few have any.
    pub headers: Option<Box<Headers>>,
}

/// `redirect`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redirect {
    /// New path.
    pub uri: Option<String>,
    /// New host.
    pub authority: Option<String>,
    /// New scheme.
    pub scheme: Option<String>,
    /// New port.
    pub port: Option<u16>,
    /// `derivePort: FROM_REQUEST_PORT`: the port that was called.
    pub to_request_port: bool,
    /// `port` or `derivePort` is written.
    pub has_port: bool,
    /// Takes the place of the matched prefix.
    pub prefix_rewrite: Option<String>,
    /// The prefix that is matched, in a compiled policy.
    pub matched: String,
    /// Status, default 301.
    pub code: u16,
}

/// `directResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectResponse {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Arc<[u8]>,
}

/// `retries`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retries {
    /// Number of retries after the first attempt.
    pub attempts: u32,
    /// Limit of one attempt.
    pub per_try_timeout: Option<Duration>,
    /// `retryOn`, as written; `None` is Istio's default list.
    pub retry_on: Option<String>,
    /// `retryIgnorePreviousHosts`; `None` is Istio's default.
    pub ignore_previous_hosts: Option<bool>,
    /// `backoff`; `None` is Envoy's default.
    pub back_off: Option<Duration>,
    /// `retryRemoteLocalities`, which says nothing to a sidecar whose endpoints are in no locality.
    pub remote_localities: Option<bool>,
}

/// One `tls[]` or `tcp[]` entry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct L4Route {
    /// Line of the entry.
    pub line: u32,
    /// Conditions, any of which suffices; empty matches all (TCP only).
    pub matches: Vec<L4Match>,
    /// Weighted destinations.
    pub route: Vec<RouteDestination>,
}

/// One element of `tls[].match[]` or `tcp[].match[]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct L4Match {
    /// SNI hosts (TLS only).
    pub sni_hosts: Vec<Arc<str>>,
    /// Destination ranges.
    pub destination_subnets: Vec<IpNet>,
    /// Port.
    pub port: Option<u16>,
    /// Labels of the caller.
    pub source_labels: Labels,
    /// Namespace of the caller.
    pub source_namespace: Option<String>,
    /// Gateways.
    pub gateways: Vec<String>,
}
