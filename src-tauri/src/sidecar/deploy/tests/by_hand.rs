//! What the readme says that a person does by hand, word for word, and what it leaves.

use std::process::Command;

use egret_tests::mesh::{Api, cache};

use super::between::{everything, named};
use crate::{
    cluster::{
        SESSION,
        tests::{
            Bench, alone, api,
            deployed::{options, prepared, put, workload},
            namespace,
        },
    },
    dto::{DeployPlace, DeployWay},
};

const README: &str = include_str!("../../../../../README.md");
/// The namespace of the workload that the readme names.
const SPACE: &str = "shop";

/// The indented lines of the readme from the line that has `from` to the next paragraph with a title.
fn commands(from: &str) -> String {
    let lines = README.lines().skip_while(|line| !line.contains(from)).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("**"));
    let code = lines.filter_map(|line| line.strip_prefix("    "));
    code.fold(String::new(), |all, line| all + line + "\n")
}

fn typed(api: &Api, commands: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = [cache().join("bin")].into_iter().chain(std::env::split_paths(&path));
    // What a line that fails leaves running would keep the output open.
    let script = format!("trap 'kill $(jobs -p) || true' EXIT\n{commands}");
    let output = Command::new("bash")
        .args(["-euc", &script])
        .env("PATH", std::env::join_paths(own).unwrap())
        .env("KUBECACHEDIR", cache().join("kubectl"))
        .env("KUBECONFIG", api.kubeconfig())
        .output()
        .unwrap();
    assert!(output.status.success(), "{commands}\n{output:?}");
}

#[test]
fn the_commands_of_the_readme_take_a_sidecar_away_and_the_namespace_is_what_it_was() {
    let Some(api) = api("the_commands_of_the_readme") else {
        return;
    };
    // They end all sessions of the cluster.
    let _alone = alone();
    let commands = commands("By hand (deleting the pod");
    assert!(
        commands.starts_with("kubectl delete") && commands.contains("fieldManager=egret-inject"),
        "{commands}"
    );
    namespace(api, SPACE);
    workload(api, "Deployment", SPACE);
    let before = everything(api, SPACE);
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    for place in [DeployPlace::Copy, DeployPlace::Workload] {
        put(
            &bench.cluster,
            &prepared(&bench, options("Deployment", SPACE, place, DeployWay::Capture)),
        );
        let sessions = [
            "get",
            "deployments,configmaps",
            "-n",
            SPACE,
            "-l",
            SESSION,
            "-o",
            "name",
        ];
        assert!(!api.text(&sessions).is_empty());
        assert_ne!(everything(api, SPACE), before, "{}", named(place));
        typed(api, &commands);
        assert_eq!(everything(api, SPACE), before, "{}", named(place));
        let left = bench.cluster.left_sessions().unwrap();
        assert!(left.iter().all(|each| each.namespace != SPACE), "{left:?}");
    }
}
