//! What the resources say: typed Istio and Kubernetes objects, each with its place in a file. No I/O and no opinion
//! about traffic; that is `policy`'s.

mod command_operator;
mod destination_rule;
mod envoy_filter;
mod gateway;
mod identity;
mod label_selector;
mod load_balancing;
mod mesh;
mod object;
mod parse;
mod route_actions;
mod service_entry;
mod sidecar;
mod telemetry;
mod text_match;
mod version;
mod virtual_service;
mod workload_name;
mod world;

pub use command_operator::{CommandOperator, Written, command_operators};
pub use destination_rule::*;
pub use envoy_filter::*;
pub use gateway::*;
pub use identity::*;
pub use label_selector::*;
pub use load_balancing::*;
pub use mesh::*;
pub use object::*;
pub use parse::{ModelError, add_document};
pub(crate) use parse::{parse_duration, places};
pub use route_actions::*;
pub use service_entry::*;
pub use sidecar::*;
pub use telemetry::*;
pub use text_match::*;
pub use version::{IstioVersion, UnknownVersion, VERSION_ANNOTATION, VERSION_LABEL, VersionSource};
pub use virtual_service::*;
pub use workload_name::{NotAName, UnknownWorkload, WorkloadName};
pub use world::{PackedWorld, World};
