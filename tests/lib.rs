//! Black-box test support.

#[path = "mesh/harness/mod.rs"]
pub mod mesh;
