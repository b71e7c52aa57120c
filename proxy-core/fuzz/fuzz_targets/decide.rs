//! Facts -> decision, under a policy with objects of every kind: total, and the same whoever watches.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use proxy_core::policy::{Snapshot, Workload, compile, decide, explain};

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let world = proxy_core_fuzz::world(include_bytes!("../policy.yaml"));
    let workload = Workload {
        namespace: "default".into(),
        ..Workload::default()
    };
    compile(&world, &workload)
});

fuzz_target!(|bytes: &[u8]| {
    proxy_core_fuzz::with_facts(bytes, &SNAPSHOT, |facts| {
        let silent = decide(&SNAPSHOT, facts, &mut ()).verdict;
        assert_eq!(silent, explain(&SNAPSHOT, facts).verdict);
    });
});
