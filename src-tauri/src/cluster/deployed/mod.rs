//! A sidecar in the cluster, as far as the API server is concerned: its objects are tried, written, looked at and taken
//! away. What they say is made elsewhere.

mod attached;
mod follow;
mod forward;
mod left;
mod stands;
mod tried;
mod written;

pub use attached::{PUSH_TOKEN, attached_name};
pub use follow::{Following, Heard};
pub use forward::SidecarPolicy;
pub use left::{LeftSession, MODE, PLACE, SESSION, WORKLOAD, injected};
pub use tried::{Disruption, Node, Nodes, Refusal};
pub use written::{INJECTOR, OWN_SIDECAR, no_fields};
