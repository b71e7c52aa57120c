//! Pure decisions: `compile(World, Workload) -> Snapshot`, `decide(&Snapshot, &Facts, &mut Witness) -> Decision`.
//! No I/O, no clock, no logging. A verdict is made here and nowhere else.

mod access_log;
mod allocation;
mod balance;
mod capture;
mod chains;
mod cluster_settings;
mod clusters;
mod compare;
mod compile;
mod conditions;
mod data_plane;
mod date_format;
mod decide;
mod delegates;
mod discovery;
mod dns_names;
mod edits;
mod entries;
mod explain;
mod explain_endpoint;
mod explain_treatment;
mod facts;
mod gateways;
mod header_edits;
mod host_rules;
mod hosts;
mod listeners;
mod names;
mod nets;
mod otherwise;
mod paths;
mod recompile;
mod redirect;
mod region;
mod registry;
mod requests;
mod rewrite;
mod routes;
mod rules;
mod scope;
mod shared_endpoints;
mod snapshot;
mod steps;
mod tables;
#[cfg(test)]
mod tests;
mod treatment;
mod verdict;
mod version;
mod virtual_services;
mod visibility;
mod witness;

pub use access_log::{Logged, logged, logged_twice, output_provider, telemetry_of};
pub use balance::{
    Balance, Balancer, Group, Hashed, Locality, Member, Members, Outlier, Place, SlowStart, Spread, connection_cookie,
    hash_of, source_hash,
};
pub(crate) use balance::{MAGLEV_SIZES_END, TOPOLOGY, is_prime};
pub use capture::{BypassRule, CAPTURE_ANNOTATIONS, Capture, OUTBOUND_PORT, capture_of, capture_under};
pub(crate) use cluster_settings::is_refused;
pub use compare::{Compared, FirstBytes, Happened, Likeness, Other};
pub use compile::{captures_dns, compile};
pub use data_plane::DataPlane;
pub(crate) use data_plane::{INJECT, INJECTION, MODE, OF_KUBERNETES, REVISION};
pub use date_format::DateFormat;
pub use decide::decide;
pub use dns_names::DnsNames;
pub use explain::*;
pub use explain_treatment::{ExplainedCors, ExplainedEdits, ExplainedFault, ExplainedMirror, ExplainedRewrite};
pub use facts::*;
pub use gateways::{GatewayRoute, GatewayUse, gateways, service_host};
pub use header_edits::{HeaderEdits, Template, Value, Values, unknown_operators};
pub use host_rules::{StreamSettings, StreamTunnel};
pub(crate) use hosts::asked;
pub use hosts::{covers, overlap, qualify};
pub use otherwise::{CaptureEdit, Change, Declaring};
pub use recompile::recompile;
pub(crate) use redirect::location;
#[cfg(feature = "sidecar")]
pub(crate) use redirect::rewritten;
pub use rewrite::{PathRewrite, Rewrite};
pub(crate) use routes::is_status;
pub use snapshot::Snapshot;
pub use treatment::{Cors, DestinationEdits, Fault, Mirror, Treatment};
pub use verdict::*;
pub use visibility::{Mode, mode_of};
pub use witness::*;
