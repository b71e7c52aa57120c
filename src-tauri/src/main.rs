//! Egret, the desktop app: shows what leaves an Istio mesh, edits the policy, and runs the sidecar that enforces it.

mod app;
#[cfg(test)]
mod bindings;
mod change;
mod cluster;
mod commands;
mod desk;
mod draft;
mod dto;
mod events;
mod fault;
mod headless;
mod probe;
mod random;
mod session;
mod settings;
mod sidecar;
mod start;
mod traffic;
mod verify;
mod watch;
mod windows;

fn main() -> std::process::ExitCode {
    start::main()
}
