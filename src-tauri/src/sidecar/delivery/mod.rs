//! The sidecar's image to where nodes find it: to the nodes themselves by the tool of their distribution, or to a registry
//! with a person's own credentials. Which ways there are follows from what the nodes say of themselves.

mod life;
mod programs;
mod tool;
mod ways;

pub use life::Delivery;
pub use ways::Ways;

use std::{env, ffi::OsString};

use crate::cluster::login_path;

/// Where programs are looked for: this process's own `PATH`, then that of a person's shell.
fn search_path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&own).chain(login_path().into_iter().flat_map(env::split_paths));
    env::join_paths(folders).unwrap_or(own)
}
