//! An API server that is killed at any moment of a deployment, and comes back: the deployment goes on where it was, in a
//! copy and in the workload itself, and the namespace is what it was. Without a node no pod runs; that a sidecar runs is only
//! said.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use egret_tests::mesh::{Api, eventually};
use serde_json::Value;

use super::{
    super::{Deployment, Prepared},
    between::{Halt, Moment, everything, named, runs},
};
use crate::{
    cluster::{
        Cluster, LeftSession, SESSION,
        tests::{
            Bench, alone, api,
            deployed::{options, prepared, workload},
            namespace,
        },
    },
    dto::{DeployPhase, DeployPlace, DeployState, DeployWay},
    fault::Result,
    traffic::Traffic,
};

const PLACES: [DeployPlace; 2] = [DeployPlace::Copy, DeployPlace::Workload];

/// One deployment, held up where it is told to.
struct Held<'a> {
    api: &'a Api,
    bench: &'a Bench,
    space: String,
    prepared: Arc<Prepared>,
    deployment: Deployment,
    halt: Halt,
    before: Vec<Value>,
}

impl<'a> Held<'a> {
    fn set(api: &'a Api, bench: &'a Bench, place: DeployPlace) -> Self {
        let space = format!("outage-{}", named(place));
        namespace(api, &space);
        workload(api, "Deployment", &space);
        let (events, halt) = Halt::events();
        let options = options("Deployment", &space, place, DeployWay::Capture);
        Self {
            before: everything(api, &space),
            prepared: Arc::new(prepared(bench, options)),
            deployment: Deployment::new(Arc::new(Traffic::default()), events),
            api,
            bench,
            space,
            halt,
        }
    }

    /// Begins `work`, and returns when it is at `moment`.
    fn until<T: Send + 'static>(
        &self,
        moment: Moment,
        work: impl FnOnce(&Deployment, &Arc<Cluster>, &Arc<Prepared>) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.halt.at(moment);
        let (deployment, cluster, prepared) = (
            self.deployment.clone(),
            self.bench.cluster.clone(),
            self.prepared.clone(),
        );
        let working = thread::spawn(move || work(&deployment, &cluster, &prepared));
        self.halt.reached();
        working
    }

    /// Brings another policy.
    fn changes(&self) -> Result<()> {
        let mut policy = self.prepared.policy.clone();
        policy.objects += 1;
        self.deployment.update(&self.bench.cluster, policy)
    }

    /// Number of the policy that pods that start now would have.
    fn generation(&self) -> String {
        let path = "jsonpath={.items[*].data.generation}";
        let words = ["get", "configmaps", "-n", &self.space, "-l", SESSION, "-o", path];
        self.api.text(&words)
    }

    fn is_as_before(&self, when: &str) {
        let left = self.bench.cluster.left_sessions().unwrap();
        let left: Vec<LeftSession> = left.into_iter().filter(|each| each.namespace == self.space).collect();
        assert_eq!(left, [], "{when}");
        assert_eq!(everything(self.api, &self.space), self.before, "{when}");
    }
}

/// Lets all go on while the API server is away, and starts it once all of them wait for it. They are held up again at `next`.
fn outage(api: &Api, held: &[Held<'_>], next: Option<Moment>) {
    api.kill_server();
    for each in held {
        next.into_iter().for_each(|next| each.halt.at(next));
        each.halt.goes_on();
    }
    eventually("all to wait for the API server", || {
        let waits = |each: &Held<'_>| {
            let log = each.deployment.state().log;
            log.last().is_some_and(|line| line.contains("waits for the API server"))
        };
        held.iter().all(waits).then_some(())
    });
    api.start_server();
    if next.is_some() {
        held.iter().for_each(|each| each.halt.reached());
    }
}

#[test]
fn an_api_server_that_is_killed_at_any_moment_of_a_deployment_is_waited_for_and_nothing_is_left_half_done() {
    let Some(api) = api("an_api_server_that_is_killed_at_any_moment") else {
        return;
    };
    let _turn = alone();
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let held = PLACES.map(|place| Held::set(api, &bench, place));

    let starting = held.each_ref().map(|each| {
        each.until(Moment::Policy, |own, cluster, prepared| {
            own.start(cluster, (**prepared).clone(), own.turn()).unwrap()
        })
    });
    outage(api, &held, Some(Moment::Put));
    outage(api, &held, None);
    for (each, starting) in held.iter().zip(starting) {
        each.deployment.cancel();
        let state = starting.join().unwrap();
        let fault = state.fault.unwrap();
        assert_eq!((state.phase, fault.code.as_str()), (DeployPhase::Failed, "stopped"));
        assert!(fault.hint.unwrap().contains("Everything was taken away again"));
        each.is_as_before("killed while it started");
    }

    for each in &held {
        runs(&each.deployment, &bench.cluster, &each.prepared);
    }
    api.kill_server();
    for each in &held {
        assert!(each.changes().is_err(), "{}", each.space);
    }
    api.start_server();
    for each in &held {
        each.changes().unwrap();
        assert_eq!(each.generation(), "2");
    }
    let stopping = held
        .each_ref()
        .map(|each| each.until(Moment::Stops, |own, _, _| own.stop().unwrap()));
    outage(api, &held, Some(Moment::Out));
    outage(api, &held, Some(Moment::Gone));
    outage(api, &held, None);
    for (each, stopping) in held.iter().zip(stopping) {
        let state: DeployState = stopping.join().unwrap();
        assert_eq!((state.phase, state.fault), (DeployPhase::None, None), "{}", each.space);
        each.is_as_before("killed while it was stopped");
    }
}
