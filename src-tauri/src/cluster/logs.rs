//! What the mesh's own sidecars log, line by line as it is written: one stream a pod, up to a bound that is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use kube::{Api, Client};
use proxy_core::record::Formats;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time,
};

use super::{
    lines::{LAST_LINES, Lines, SILENCE},
    mark::Mark,
    pick::{Candidate, Chosen, pick},
    pods::{Logging, Pods},
    pulse::Pulse,
};
use crate::{fault::Fault, traffic::Traffic};

/// Pods that are followed at once; each holds a connection to the API server.
pub const MAX_PODS: usize = 50;
pub(super) const SIDECAR: &str = "istio-proxy";
/// How often it is looked which pods there are, at most.
const PACE: Duration = Duration::from_millis(100);
/// What injection writes on every pod that it gives a sidecar.
pub(super) const INJECTED: &str = "security.istio.io/tlsMode";

/// How following stands.
#[derive(Debug, Clone, Default)]
pub struct LogState {
    /// Pods with a running sidecar.
    pub pods: usize,
    /// Of these, the ones that are followed.
    pub followed: usize,
    /// Workloads with the number of their pods, and how many of these are followed.
    pub workloads: BTreeMap<String, (usize, usize)>,
    /// The workloads and namespaces that a person chose; empty for all.
    pub chosen: Chosen,
    /// Lines that became flows.
    pub flows: u64,
    /// Lines about what came in, and of the sidecars themselves.
    pub passed_over: u64,
    /// Access log lines that cannot be read.
    pub unread: u64,
    /// Why the last of these cannot be.
    pub unread_because: Option<Arc<str>>,
    /// How often lines may be missing, since no node had them any more, or the last ones did not come.
    pub gaps: u64,
    /// Pods that are to be followed and whose log cannot be read, as `namespace/name`, with the reason.
    pub faults: BTreeMap<String, Fault>,
    /// Why no log can be read, where none can.
    pub fault: Option<Fault>,
}

/// Shared by the streams.
#[derive(Default)]
pub(super) struct Logs {
    state: Mutex<LogState>,
    formats: Mutex<Arc<Formats>>,
    chosen: Notify,
    changed: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Logs {
    /// Has `changed` called when what a person sees of the state is another, counters aside.
    pub fn tell(&self, changed: impl Fn() + Send + Sync + 'static) {
        // Logs are followed once for each connection: the first to ask is the only one.
        let _ = self.changed.set(Box::new(changed));
    }

    fn changed(&self) {
        if let Some(changed) = self.changed.get() {
            changed();
        }
    }

    pub fn state(&self) -> LogState {
        let mut state = self.lock().clone();
        let all_fail = state.followed > 0 && state.faults.len() >= state.followed;
        state.fault = state.faults.values().next().filter(|_| all_fail).cloned();
        state
    }

    /// What the sidecars write in.
    pub fn formats(&self) -> Arc<Formats> {
        self.formats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The mesh config may say other formats now.
    pub fn set_formats(&self, formats: Formats) {
        *self.formats.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(formats);
    }

    /// From now on only these are followed; all where there is none.
    pub fn choose(&self, chosen: Chosen) {
        self.lock().chosen = chosen;
        self.chosen.notify_one();
    }

    pub fn count(&self, count: impl FnOnce(&mut LogState)) {
        count(&mut self.lock());
    }

    /// Counts a line that cannot be read.
    pub fn unread(&self, why: &Arc<str>) {
        let mut state = self.lock();
        state.unread += 1;
        if state.unread_because.as_ref() != Some(why) {
            state.unread_because = Some(why.clone());
            drop(state);
            self.changed();
        }
    }

    /// Lines may be missing here.
    pub fn gap(&self) {
        self.lock().gaps += 1;
        self.changed();
    }

    /// The log of this pod can be read, or need not be any more.
    pub fn mended(&self, pod: &str) {
        if self.lock().faults.remove(pod).is_some() {
            self.changed();
        }
    }

    /// The log of this pod cannot be read.
    pub fn failed(&self, pod: &str, fault: Fault) {
        let before = self.lock().faults.insert(pod.to_string(), fault.clone());
        if before.is_none_or(|before| before.message != fault.message) {
            self.changed();
        }
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pod whose sidecar writes a log.
struct Known {
    pod: Logging,
    mark: Arc<Mutex<Mark>>,
    stream: Option<Stream>,
    /// The stream of the sidecar that ran before: it may still read the last lines.
    before: Option<JoinHandle<()>>,
}

/// What reads its lines.
struct Stream {
    task: JoinHandle<()>,
    ended_tx: watch::Sender<bool>,
}

impl Drop for Known {
    fn drop(&mut self) {
        // Who wants to know the end has taken the stream before.
        self.end();
    }
}

impl Known {
    fn new(pod: Logging) -> Self {
        Self {
            pod,
            mark: Arc::default(),
            stream: None,
            before: None,
        }
    }

    /// Nobody wants its lines any more.
    fn end(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.task.abort();
        }
    }

    /// Its sidecar has ended: what it wrote last is still read.
    fn let_end(&mut self) {
        if let Some(Stream { task, ended_tx }) = self.stream.take() {
            ended_tx.send_replace(true);
            self.before = Some(task);
        }
    }

    fn follow(&mut self, lines: Lines, pulse: Pulse) {
        let (ended_tx, ended_rx) = watch::channel(false);
        let before = self.before.take();
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // Both go by one mark. One that panicked reads no more either.
                let _ = before.await;
            }
            lines.follow(ended_rx, pulse).await;
        });
        self.stream = Some(Stream { task, ended_tx });
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            workload: format!("{}/{}", self.pod.workload.namespace, self.pod.workload.name),
            followed: self.stream.is_some(),
        }
    }
}

/// Follows the pods whose sidecar runs, as far as they are chosen, until it is dropped.
pub(super) async fn follow_logs(client: Client, pods: Arc<Pods>, pulse: Pulse, traffic: Arc<Traffic>, logs: Arc<Logs>) {
    let mut changed = pods.changed.subscribe();
    changed.mark_changed();
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    loop {
        tokio::select! {
            seen = changed.changed() => {
                if seen.is_err() {
                    return;
                }
                know(pods.logging(), &mut known);
            }
            () = logs.chosen.notified() => {}
        }
        balance(&client, &mut known, &pulse, &traffic, &logs);
        // Many pods change at once: they are looked at together.
        time::sleep(PACE).await;
    }
}

/// Takes note of new pods and of sidecars that have ended, and forgets pods that are gone.
fn know(logging: BTreeMap<String, Logging>, known: &mut BTreeMap<String, Known>) {
    for (key, pod) in &mut *known {
        if !logging.get(key).is_some_and(|now| now.runs) {
            pod.let_end();
        }
    }
    known.retain(|key, _| logging.contains_key(key));
    for (key, pod) in logging {
        let known = known.entry(key).or_insert_with(|| Known::new(pod.clone()));
        known.pod = pod;
    }
}

/// Begins and ends streams, so that those that are wanted run.
fn balance(
    client: &Client,
    known: &mut BTreeMap<String, Known>,
    pulse: &Pulse,
    traffic: &Arc<Traffic>,
    logs: &Arc<Logs>,
) {
    let chosen = logs.state().chosen;
    let running = || known.iter().filter(|(_, known)| known.pod.runs);
    let candidates = running().map(|(key, pod)| (key.clone(), pod.candidate()));
    let pods = running().count();
    let picked = pick(&candidates.collect(), &chosen, MAX_PODS);
    let mut workloads: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (key, known) in known.iter_mut().filter(|(_, known)| known.pod.runs) {
        if !picked.contains(key) {
            known.end();
        } else if known.stream.is_none() {
            let pod = &known.pod;
            let lines = Lines {
                pods: Api::namespaced(client.clone(), &pod.workload.namespace),
                name: pod.name.clone(),
                workload: pod.workload.clone().into(),
                young: pod.young,
                mark: known.mark.clone(),
                traffic: traffic.clone(),
                logs: logs.clone(),
                silence: SILENCE,
                last_lines: LAST_LINES,
            };
            known.follow(lines, pulse.clone());
        }
        let Candidate { workload, followed } = known.candidate();
        let (pods, of_these) = workloads.entry(workload).or_default();
        *pods += 1;
        *of_these += usize::from(followed);
        if !followed {
            logs.mended(&format!("{}/{}", known.pod.workload.namespace, known.pod.name));
        }
    }
    let mut state = logs.lock();
    if state.workloads != workloads {
        (state.pods, state.followed) = (pods, picked.len());
        state.workloads = workloads;
        drop(state);
        logs.changed();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_pod_whose_log_cannot_be_read_says_nothing_of_the_others() {
        let logs = Logs::default();
        let told = Arc::new(AtomicUsize::new(0));
        logs.tell({
            let told = told.clone();
            move || {
                told.fetch_add(1, Ordering::Relaxed);
            }
        });
        logs.count(|state| state.followed = 2);
        let fault = || Fault::new("refused", "no");
        logs.failed("shop/a", fault());
        let stands = || {
            let state = logs.state();
            let pods: Vec<String> = state.faults.into_keys().collect();
            (pods.join(" "), state.fault.is_some(), told.load(Ordering::Relaxed))
        };
        assert_eq!(stands(), ("shop/a".into(), false, 1));
        logs.mended("shop/b");
        assert_eq!(
            stands(),
            ("shop/a".into(), false, 1),
            "another one's stream mends nothing"
        );
        logs.failed("shop/a", fault());
        assert_eq!(stands().2, 1, "nothing new");
        logs.failed("shop/b", fault());
        assert_eq!(stands(), ("shop/a shop/b".into(), true, 2), "none can be read");
        logs.mended("shop/a");
        assert_eq!(stands(), ("shop/b".into(), false, 3));
    }
}
