//! Egret, the desktop app: shows what leaves an Istio mesh, edits the policy, and runs the sidecar that enforces it.

#[cfg(test)]
mod bindings;
#[allow(dead_code)]
mod dto;
#[allow(dead_code)]
mod fault;

fn main() {}
