//! Manifests -> model -> findings and compiled policy: nothing that can be written takes the engine down.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_core::{lint, policy};

fuzz_target!(|bytes: &[u8]| {
    let world = proxy_core_fuzz::world(bytes);
    lint::check(&world);
    let workload = policy::Workload {
        namespace: "default".into(),
        ..policy::Workload::default()
    };
    policy::compile(&world, &workload);
});
