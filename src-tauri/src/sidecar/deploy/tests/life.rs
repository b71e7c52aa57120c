//! What becomes of a deployment when the network, another hand or the window comes between, as far as an API server
//! without any node goes: its objects are there, its pods are only said to be.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use egret_tests::mesh::{Api, eventually};
use proxy_core::record::FlowWorkload;

use super::{
    super::{Deployment, Policy, Prepared, names, policy::Allocated},
    between::{Halt, Moment, runs},
};
use crate::{
    cluster::{
        Cluster, Heard, SESSION, SidecarPolicy,
        tests::{
            Bench, api,
            cut::Cut,
            deployed::{options, prepared, workload},
            entry, namespace,
        },
    },
    dto::{DeployPhase, DeployPlace, DeployState, DeployWay},
    fault::Fault,
    traffic::Traffic,
};

/// A workload that is copied, over a cable that can be cut.
struct Stage {
    api: &'static Api,
    space: &'static str,
    cut: Cut,
    bench: Bench,
    deployment: Deployment,
    halt: Halt,
    prepared: Arc<Prepared>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn set(test: &str, space: &'static str) -> Option<Self> {
        let api = api(test)?;
        namespace(api, space);
        workload(api, "Deployment", space);
        let folder = tempfile::tempdir().unwrap();
        let (cut, kubeconfig) = Cut::before(&api.kubeconfig(), folder.path());
        let bench = Bench::open(kubeconfig);
        bench.cluster.set_editing(true);
        let options = options("Deployment", space, DeployPlace::Copy, DeployWay::Capture);
        let (events, halt) = Halt::events();
        Some(Self {
            prepared: Arc::new(prepared(&bench, options)),
            deployment: Deployment::new(Arc::new(Traffic::default()), events),
            halt,
            api,
            space,
            cut,
            bench,
            _folder: folder,
        })
    }

    fn cluster(&self) -> &Arc<Cluster> {
        &self.bench.cluster
    }

    /// Starts it, and waits until it waits for pods, which nobody makes here.
    fn starts(&self) -> JoinHandle<DeployState> {
        let (own, cluster, turn) = (self.deployment.clone(), self.cluster().clone(), self.deployment.turn());
        let prepared = (*self.prepared).clone();
        let starting = thread::spawn(move || own.start(&cluster, prepared, turn).unwrap());
        eventually("the second step", || {
            let step = self.deployment.state().steps.get(1)?.clone();
            step.text.contains("waits for").then_some(())
        });
        starting
    }

    /// As if one of its pods had answered.
    fn runs(&self) {
        runs(&self.deployment, self.cluster(), &self.prepared);
        assert!(self.deployment.await_change(), "what changed while it started");
        self.hear(Heard::Connected("cart-1".into(), SidecarPolicy::default()));
    }

    fn hear(&self, heard: Heard) {
        let caller = Arc::new(FlowWorkload::default());
        self.deployment.hear(&self.prepared.id, heard, &caller);
    }

    /// What the source says once `host` is named in it.
    fn policy_with(&self, host: &str) -> Policy {
        self.api.apply(&entry(self.space, "a", host));
        self.bench.waits_for(self.space, &[host]);
        Policy::of(
            &self.bench.view(),
            None,
            &self.prepared.options.target,
            Allocated::LeftOut,
        )
        .unwrap()
    }

    fn fault(&self) -> Option<Fault> {
        self.deployment.state().fault
    }

    /// What of the session the API server has.
    fn stored(&self) -> Vec<String> {
        let kinds = "deployments,configmaps";
        let all = self
            .api
            .text(&["get", kinds, "-n", self.space, "-l", SESSION, "-o", "name"]);
        all.lines().map(str::to_string).collect()
    }

    fn patch_map(&self, patch: &str) {
        let map = names::config_map(&self.prepared.id);
        let words = [
            "patch",
            "configmap",
            &map,
            "-n",
            self.space,
            "--type=merge",
            "-p",
            patch,
        ];
        self.api.text(&words);
    }
}

#[test]
fn a_policy_counts_as_brought_only_once_all_pods_have_taken_it_and_is_brought_again_until_then() {
    let Some(stage) = Stage::set("a_policy_counts_as_brought", "unbrought") else {
        return;
    };
    stage.runs();
    let deployment = &stage.deployment;
    let policy = stage.policy_with("new.com");
    let bring = || deployment.noted(deployment.update(stage.cluster(), policy.clone()));
    bring();
    let state = deployment.state();
    let fault = state.fault.expect("no pod took it");
    assert_eq!((state.phase, state.generation), (DeployPhase::Running, 2));
    assert!(state.pods[0].fault.is_some(), "{:?}", state.pods);

    let again = {
        let own = deployment.clone();
        thread::spawn(move || own.await_change())
    };
    eventually("the time to bring it again", || again.is_finished().then_some(()));
    assert!(again.join().unwrap());
    bring();
    assert_eq!(
        (stage.fault(), deployment.state().generation),
        (Some(fault), 2),
        "the same policy still has to be brought"
    );
    stage.hear(Heard::Gone("cart-1".into()));
    bring();
    assert_eq!(stage.fault(), None, "all that are there have it");
    deployment.stop().unwrap();
}

#[test]
fn a_policy_of_the_cluster_that_the_window_turns_to_is_not_brought_to_the_one_before() {
    let Some(stage) = Stage::set("a_policy_of_the_cluster", "turning") else {
        return;
    };
    stage.runs();
    let policy = stage.policy_with("new.com");
    let next = Bench::open(stage.api.kubeconfig());
    stage.deployment.update(&next.cluster, policy.clone()).unwrap();
    let generation = || {
        let path = "jsonpath={.items[*].data.generation}";
        let words = ["get", "configmaps", "-n", stage.space, "-l", SESSION, "-o", path];
        stage.api.text(&words)
    };
    assert_eq!((generation().as_str(), stage.deployment.state().generation), ("1", 1));
    stage.hear(Heard::Gone("cart-1".into()));
    stage.deployment.update(stage.cluster(), policy).unwrap();
    assert_eq!(generation(), "2");
    stage.deployment.stop().unwrap();
}

#[test]
fn a_sidecar_that_cannot_be_removed_runs_on_and_is_removed_by_the_next_stop() {
    let Some(mut stage) = Stage::set("a_sidecar_that_cannot_be_removed", "unremoved") else {
        return;
    };
    stage.deployment.away = Duration::ZERO;
    stage.runs();
    let keeping = {
        let own = stage.deployment.clone();
        thread::spawn(move || own.await_change())
    };
    stage.cut.cut();
    let state = stage.deployment.stop().unwrap();
    assert_eq!((state.phase, state.fault.is_some()), (DeployPhase::Running, true));
    eventually("its policy to be kept up", || keeping.is_finished().then_some(()));
    stage.deployment.noted(Ok(()));
    assert_eq!(stage.fault(), state.fault, "why it was not stopped is shown on");
    assert_eq!(stage.stored().len(), 2);
    stage.cut.mend();
    // What was agreed to is taken back also with editing off.
    stage.cluster().set_editing(false);
    let state = stage.deployment.stop().unwrap();
    assert_eq!((state.phase, state.fault), (DeployPhase::None, None));
    assert!(state.ended.unwrap().contains("are gone"));
    assert_eq!(stage.stored(), Vec::<String>::new());
}

#[test]
fn a_sidecar_that_was_removed_without_its_policy_does_not_run_and_what_is_left_is_offered() {
    let Some(mut stage) = Stage::set("a_sidecar_that_was_removed_without", "half-removed") else {
        return;
    };
    stage.deployment.away = Duration::ZERO;
    stage.runs();
    stage.halt.at(Moment::Out);
    let stopping = {
        let own = stage.deployment.clone();
        thread::spawn(move || own.stop().unwrap())
    };
    stage.halt.reached();
    stage.cut.cut();
    stage.halt.goes_on();
    let state = stopping.join().unwrap();
    let fault = state.fault.clone().unwrap();
    assert_eq!((state.phase, fault.code.as_str()), (DeployPhase::Failed, "left"));
    let map = names::config_map(&stage.prepared.id);
    assert!(
        fault.message.contains("The sidecar was removed") && fault.message.contains(&map),
        "{fault:?}"
    );
    assert_eq!(stage.deployment.session(), None, "what is left of it is nobody's");
    assert_eq!(
        stage.deployment.stop().unwrap(),
        state,
        "nothing is there to be stopped"
    );
    stage.cut.mend();
    let left = stage.cluster().left_sessions().unwrap();
    let left = left.iter().find(|each| each.id == stage.prepared.id).unwrap();
    assert_eq!(left.objects, [format!("ConfigMap {map}")]);
    stage.cluster().delete_session(stage.space, &stage.prepared.id).unwrap();
    assert_eq!(stage.stored(), Vec::<String>::new());
    stage.deployment.left_is_gone("another");
    assert_eq!(stage.deployment.state(), state);
    stage.deployment.left_is_gone(&stage.prepared.id);
    assert_eq!(stage.deployment.state().phase, DeployPhase::None);
}

#[test]
fn an_api_server_that_is_away_for_a_moment_is_waited_for_and_by_nobody_who_turns_to_another_place() {
    let Some(stage) = Stage::set("an_api_server_that_is_away", "away") else {
        return;
    };
    let waits = || {
        let log = stage.deployment.state().log;
        log.iter()
            .any(|line| line.contains("waits for the API server"))
            .then_some(())
    };
    stage.runs();
    stage.cut.cut();
    let stopping = {
        let own = stage.deployment.clone();
        thread::spawn(move || own.stop().unwrap())
    };
    eventually("it to wait", waits);
    stage.cut.mend();
    let state = stopping.join().unwrap();
    assert_eq!((state.phase, state.fault), (DeployPhase::None, None));
    assert_eq!(stage.stored(), Vec::<String>::new());

    stage.runs();
    stage.cut.cut();
    let turning = {
        let own = stage.deployment.clone();
        thread::spawn(move || own.end())
    };
    eventually("the window to turn", || turning.is_finished().then_some(()));
    stage.cut.mend();
    assert_eq!(stage.deployment.state(), DeployState::default());
    assert_eq!(stage.stored().len(), 2, "it is found when the cluster is opened");
}

#[test]
fn a_window_that_turns_to_another_place_waits_for_no_object_to_be_gone() {
    let Some(stage) = Stage::set("a_window_that_turns", "lingering") else {
        return;
    };
    let starting = stage.starts();
    stage.patch_map(r#"{"metadata": {"finalizers": ["example.com/linger"]}}"#);
    stage.deployment.cancel();
    eventually("it to wait for the end of what it made", || {
        let log = stage.deployment.state().log;
        log.iter().any(|line| line.contains("deleted what")).then_some(())
    });
    let turning = {
        let own = stage.deployment.clone();
        thread::spawn(move || own.end())
    };
    eventually("the window to turn", || turning.is_finished().then_some(()));
    let hint = starting.join().unwrap().fault.unwrap().hint.unwrap();
    assert!(hint.contains("Not gone yet: ConfigMap"), "{hint}");
    assert_eq!(stage.deployment.state(), DeployState::default());
    stage.patch_map(r#"{"metadata": {"finalizers": null}}"#);
    assert_eq!(stage.stored(), Vec::<String>::new());
}

#[test]
fn what_comes_late_from_a_pod_that_is_gone_or_a_session_that_was_stopped_is_not_shown() {
    let Some(stage) = Stage::set("what_comes_late", "late-pods") else {
        return;
    };
    stage.runs();
    let deployment = &stage.deployment;
    let policy = stage.policy_with("new.com");
    stage.cut.fall_silent();
    let bringing = {
        let (own, cluster) = (deployment.clone(), stage.cluster().clone());
        thread::spawn(move || own.update(&cluster, policy))
    };
    eventually("the policy to be on its way", || {
        (deployment.state().generation == 2).then_some(())
    });
    stage.hear(Heard::Gone("cart-1".into()));
    stage.cut.cut();
    assert!(bringing.join().unwrap().is_err());
    assert_eq!(deployment.state().pods, []);
    stage.cut.mend();
    deployment.stop().unwrap();
    stage.hear(Heard::Connected("cart-1".into(), SidecarPolicy::default()));
    assert_eq!(deployment.state().pods, []);
}

#[test]
fn a_start_that_was_worked_out_before_the_window_turned_puts_nothing_anywhere() {
    let Some(stage) = Stage::set("a_start_that_was_worked_out", "turned") else {
        return;
    };
    let (deployment, prepared) = (&stage.deployment, || (*stage.prepared).clone());
    let turn = deployment.turn();
    deployment.end();
    let fault = deployment.start(stage.cluster(), prepared(), turn).unwrap_err();
    assert_eq!(fault.code, "turned");
    deployment.close();
    let fault = deployment.start(stage.cluster(), prepared(), deployment.turn());
    assert_eq!(fault.unwrap_err().code, "turned", "nor where the window has closed");
    assert_eq!(stage.stored(), Vec::<String>::new());
    assert_eq!(deployment.state(), DeployState::default());
}

#[test]
fn a_session_is_this_windows_from_its_first_step_until_it_is_gone() {
    let Some(stage) = Stage::set("a_session_is_this_windows", "own-session") else {
        return;
    };
    let own = Some(stage.prepared.id.clone());
    assert_eq!(stage.deployment.session(), None);
    let starting = stage.starts();
    assert_eq!(stage.deployment.session(), own, "while it starts");
    stage.deployment.cancel();
    starting.join().unwrap();
    assert_eq!(stage.deployment.session(), None);

    stage.runs();
    assert_eq!(stage.deployment.session(), own);
    stage.patch_map(r#"{"metadata": {"finalizers": ["example.com/linger"]}}"#);
    let stopping = {
        let own = stage.deployment.clone();
        thread::spawn(move || own.stop().unwrap())
    };
    eventually("it to wait for the end of what it made", || {
        let log = stage.deployment.state().log;
        log.iter().any(|line| line.contains("deleted what")).then_some(())
    });
    assert_eq!(stage.deployment.session(), own, "while it is taken away");
    stage.patch_map(r#"{"metadata": {"finalizers": null}}"#);
    assert_eq!(stopping.join().unwrap().phase, DeployPhase::None);
    assert_eq!(stage.deployment.session(), None);
}
