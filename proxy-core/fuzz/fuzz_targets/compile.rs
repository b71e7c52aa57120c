//! Manifests -> model -> findings, their fixes, compiled policy, and calls to what it declares: nothing that can be written takes the engine down.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_core::{lint, policy, source::edit};

fuzz_target!(|bytes: &[u8]| {
    let world = proxy_core_fuzz::world(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        for finding in lint::check(&world) {
            fix(text, &finding);
        }
    }
    let workload = policy::Workload {
        namespace: "default".into(),
        ..policy::Workload::default()
    };
    proxy_core_fuzz::call_declared(&world, &policy::compile(&world, &workload));
});

/// Makes the fix of a finding, or says why it cannot be made.
fn fix(text: &str, finding: &lint::Finding) {
    if let (Some(patch), Some(object)) = (&finding.patch, &finding.object) {
        let object = (object.kind.as_str(), object.namespace.as_str(), object.name.as_str());
        let change = [(patch.path.clone(), patch.change())];
        let _ = edit::patch_object(text, &"fuzz.yaml".into(), object, &change);
    }
}
