//! A sidecar for a workload of the open cluster: tried, started, kept up to date with what the source says and what is
//! staged, and taken away.

use std::{
    sync::{Arc, Weak},
    thread,
};

use proxy_core::policy::{self, DataPlane, Snapshot};

use super::App;
use crate::{
    change::{Proposal, Store as _},
    cluster::{Cluster, LeftSession, injected},
    dto::{
        CheckOutcome, DeliveryState, DeliveryWay, DeployChecks, DeployLeft, DeployMode, DeployOptions, DeployPhase,
        DeployPlace, DeployState, RequestResult,
    },
    fault::{Fault, Result},
    session::View,
    sidecar::{
        delivery::Ways,
        deploy::{self, Deployment, Found, Options, Policy, Prepared},
    },
};

/// The uid of a ConfigMap that is not made yet.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

impl App {
    /// What would stand in the way. Nothing is written.
    pub fn deploy_checks(&self, options: DeployOptions) -> Result<DeployChecks> {
        let (cluster, view) = (self.cluster()?, self.view());
        let prepared = self.prepared(&cluster, &view, options)?;
        let found = self.found(&cluster, &view, &prepared)?;
        let checks = deploy::checks(&prepared, &found);
        let first = checks.iter().find(|check| check.outcome == CheckOutcome::Refused);
        let refused = first
            .map(|check| format!("{}: {}", check.title, check.text))
            .or(cluster.locked());
        Ok(DeployChecks {
            refused,
            deliveries: match found.has_image(&prepared.options.image) {
                true => Vec::new(),
                false => found.ways.choices(),
            },
            checks,
            adds: prepared.adds(),
        })
    }

    /// Deploys it, and returns when it runs or was taken away again. What the checks refuse is not begun.
    pub fn deploy_start(&self, options: DeployOptions) -> Result<DeployState> {
        let turn = self.deployment.turn();
        let (cluster, view) = (self.cluster()?, self.view());
        let prepared = self.prepared(&cluster, &view, options)?;
        cluster.require(prepared.options.feature(), &prepared.options.target.namespace)?;
        let checks = deploy::checks(&prepared, &self.found(&cluster, &view, &prepared)?);
        if let Some(check) = checks.into_iter().find(|check| check.outcome == CheckOutcome::Refused) {
            let fault = Fault::new("refused", format!("{}: {}", check.title, check.text));
            return Err(match check.advice {
                Some(advice) => fault.hint(advice),
                None => fault,
            });
        }
        let state = self.deployment.start(&cluster, prepared, turn)?;
        // A window that closed, or turned to another place, meanwhile leaves nothing that runs.
        let is_here = self.is_open() && self.cluster().is_ok_and(|now| Arc::ptr_eq(&now, &cluster));
        if !is_here {
            self.deployment.end();
        }
        Ok(state)
    }

    /// Brings the image to where the nodes of the open cluster find it: to themselves, or to a registry as `reference`.
    pub fn deliver(&self, way: DeliveryWay, reference: &str) -> Result<DeliveryState> {
        let cluster = self.cluster()?;
        if way == DeliveryWay::Registry {
            return self.delivery.push(reference);
        }
        cluster.unlocked()?;
        let ways = Ways::into(cluster.nodes()?.as_ref(), &cluster.context);
        self.delivery.load(&cluster, &ways, way)
    }

    /// What is left of deployments that nobody in this window looks after.
    pub fn deploy_left(&self) -> Result<Vec<DeployLeft>> {
        let view = self.view();
        let Some(cluster) = view.origin.cluster() else {
            return Ok(Vec::new());
        };
        let own = self.deployment.session();
        let left = cluster
            .left_sessions()?
            .into_iter()
            .filter(|each| own.as_ref() != Some(&each.id));
        Ok(left
            .map(|each| DeployLeft {
                session: each.id,
                namespace: each.namespace,
                workload: each.workload,
                since: each.since,
                objects: each.objects,
            })
            .collect())
    }

    /// Takes what is left of a session away: first out of workloads, then what was made for it.
    pub fn deploy_remove(&self, namespace: &str, session: &str) -> Result<()> {
        let cluster = self.cluster()?;
        cluster.unlocked()?;
        if self.deployment.session().as_deref() == Some(session) {
            return Err(Fault::new("running", "This one runs in this window.").hint("Stop it instead."));
        }
        let left = LeftSession::find(cluster.left_sessions()?, namespace, session)?;
        for (kind, name) in &left.injected {
            cluster.eject(kind, namespace, name)?;
        }
        for pod in &left.attached {
            cluster.detach(namespace, pod, session, deploy::ADMIN_PORT)?;
        }
        cluster.delete_session(namespace, session)?;
        self.deployment.left_is_gone(session);
        Ok(())
    }

    /// The policy that the deployed sidecar in the pods of `workload` decides by, and what it does with it; `None` where
    /// there is no such sidecar.
    pub(super) fn deployed_policy(&self, view: &View, workload: &str) -> Result<Option<(Snapshot, DeployMode)>> {
        let state = self.deployment.state();
        let stands_there = state.phase == DeployPhase::Running && state.stands_in == workload;
        let caller = view.workload(&state.workload).filter(|_| stands_there);
        let Some((mode, caller)) = state.mode.zip(caller) else {
            return Ok(None);
        };
        let staged = self.staged(view, state.staged)?;
        let world = staged.as_ref().map_or(view.world(), |staged| &staged.world);
        Ok(Some((policy::compile(world, &caller), mode)))
    }

    /// What is staged, where it is `wanted`. Where the edits no longer fit, that is said: without them, what they allow
    /// would be blocked in a workload that runs.
    fn staged(&self, view: &View, wanted: bool) -> Result<Option<Proposal>> {
        let staged = wanted.then(|| self.changes.proposal(view)).transpose()?;
        Ok(staged.flatten())
    }

    fn prepared(&self, cluster: &Cluster, view: &View, options: DeployOptions) -> Result<Prepared> {
        let options = Options::read(options)?;
        let staged = self.staged(view, options.staged)?;
        deploy::prepare(cluster, view, staged.as_ref(), options)
    }

    /// Asks the cluster what the checks need.
    fn found<'w>(&self, cluster: &Arc<Cluster>, view: &'w View, prepared: &'w Prepared) -> Result<Found<'w>> {
        let target = &prepared.options.target;
        let missing = cluster.missing(prepared.options.feature(), &target.namespace)?;
        let template = &prepared.live.data["spec"]["template"];
        let refusal = match missing {
            Some(_) => None,
            None => match (prepared.options.place, &prepared.pod) {
                (DeployPlace::Pod, pod) => {
                    let (sidecar, capture) = prepared.attached();
                    let pod = pod.as_deref().unwrap_or_default();
                    cluster.try_attach(&target.namespace, pod, &[sidecar, capture])?
                }
                (place, _) => cluster.try_workload(&prepared.workload(NO_UID), place == DeployPlace::Copy)?,
            },
        };
        let host_network = template["spec"]["hostNetwork"].as_bool() == Some(true);
        let nodes = cluster.nodes()?;
        Ok(Found {
            version: cluster.version.clone(),
            missing: missing.map(|missing| missing.reason),
            refusal,
            plane: DataPlane::of(view.world(), &prepared.identity.workload, host_network),
            manager: cluster.manager_of(&prepared.live),
            unable: cluster.unable_to_roll(&target.kind, &prepared.live),
            injected: injected(&prepared.live.metadata).map(str::to_string),
            ways: Ways::into(nodes.as_ref(), &cluster.context),
            brought: self.delivery.has_brought(cluster),
            nodes,
            disruptions: cluster.disruptions(&target.namespace, &template["metadata"]["labels"])?,
        })
    }

    /// Brings the policy that holds now to what is deployed.
    fn update_deployed(&self) -> Result<()> {
        let (view, state) = (self.view(), self.deployment.state());
        let Some(cluster) = view.origin.cluster() else {
            return Ok(());
        };
        let staged = self.staged(&view, state.staged)?;
        let target = deploy::Target::read(&state.kind, &state.workload)?;
        let policy = Policy::of(&view, staged.as_ref(), &target, self.deployment.allocated())?;
        self.deployment.update(cluster, policy)
    }
}

/// What came of a request behind a sidecar in this mode: one that observes refuses nothing.
pub(super) fn as_sent_under(mode: DeployMode, mut sent: RequestResult) -> RequestResult {
    if mode == DeployMode::Observe {
        sent.expectation.outcome = "reaches the site: nothing is refused while the sidecar observes".into();
        sent.expectation.finding = None;
    }
    sent
}

/// Keeps the policy of what is deployed up to date until the window is closed.
pub(super) fn keep_policy(app: &Arc<App>) -> Result<()> {
    let (deployment, app): (Deployment, Weak<App>) = (app.deployment.clone(), Arc::downgrade(app));
    let keep = move || {
        while deployment.await_change() {
            let Some(app) = app.upgrade() else { return };
            deployment.noted(app.update_deployed());
        }
    };
    let thread = thread::Builder::new().name("deployed-policy".into()).spawn(keep);
    thread
        .map(drop)
        .map_err(|error| Fault::new("thread", error.to_string()))
}
