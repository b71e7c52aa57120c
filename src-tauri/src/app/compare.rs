//! A policy pinned as it was, and another policy beside the one that the sandbox enforces: it decides everything that the
//! sandbox's sidecar decides, and what a person sends through both meets it in a sidecar of its own.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use proxy_core::{model::World, record::Timestamp, source::read_folder};
use time::OffsetDateTime;

use super::App;
use crate::{
    cluster::Environment,
    dto::{
        ComparedPage, ComparedRow, Comparison, Likeness, Phase, Pinned, PolicyChoice, RequestResult, SandboxState,
        SentBeside, Takes,
    },
    events::{Event, Events},
    fault::{Fault, Result},
    probe::{self, FromSandbox},
    session::{View, now},
    sidecar::{Compared, Enforced, PolicyFolder, Sidecar},
    traffic::{Traffic, other_way, sent_otherwise},
};

/// Rows that a window shows.
const ROWS: usize = 200;
/// Flows of the sidecar beside that are kept: each answers a request that a person sent.
const BESIDE_ROWS: usize = 1_000;
const BESIDE_BYTES: usize = 8 << 20;
/// How long the sidecar may take to read the policy; a large one takes seconds.
const READ: Duration = Duration::from_secs(30);

/// What is pinned, and what is compared with.
pub(super) struct Comparing {
    /// The sidecar beside.
    beside: Sidecar,
    /// Its flows: they are no traffic of the workload's.
    traffic: Arc<Traffic>,
    /// Held by who starts or ends a comparison.
    turn: Mutex<()>,
    inner: Mutex<Inner>,
    events: Events,
}

#[derive(Debug, Default)]
struct Inner {
    pinned: Option<Arc<Pin>>,
    running: Option<Running>,
}

/// A policy as it was.
#[derive(Debug)]
pub(super) struct Pin {
    pub folder: Arc<PolicyFolder>,
    world: World,
    shown: Pinned,
}

#[derive(Debug)]
struct Running {
    with: PolicyChoice,
    folder: Arc<PolicyFolder>,
    /// Flows after this one are compared, if they began later than that.
    after: u64,
    since: String,
    /// What was sent through both, by its flow under the policy in force.
    sent: HashMap<u64, SentBeside>,
    fault: Option<Fault>,
    beside_fault: Option<Fault>,
}

impl Comparing {
    /// Nothing yet, in the window called `window`.
    pub fn new(data: &Path, window: &str, events: Events) -> Self {
        let traffic = Arc::new(Traffic::bounded(BESIDE_ROWS, BESIDE_BYTES));
        let telling = events.clone();
        let told = Events::new(move |event| {
            // Its state is part of the comparison's; nobody shows its flows one by one.
            if matches!(event, Event::SandboxChanged(_)) {
                telling.send(Event::ComparisonChanged);
            }
        });
        Self {
            beside: Sidecar::new(data, &format!("{window}-beside"), traffic.clone(), told),
            traffic,
            turn: Mutex::default(),
            inner: Mutex::default(),
            events,
        }
    }

    /// What was pinned.
    pub fn pin(&self) -> Result<Arc<Pin>> {
        let pinned = self.inner().pinned.clone();
        pinned.ok_or_else(|| Fault::input("No policy is pinned."))
    }

    /// Ends the comparison, and what was there for it.
    pub fn end(&self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = self.inner().running.take() else {
            return;
        };
        self.beside.stop();
        let turn = running.folder.turn();
        // What is left in it is compared with by nobody, and goes with the sandbox.
        let _ = running.folder.clear();
        drop(turn);
        self.events.send(Event::ComparisonChanged);
    }

    // Every change under the lock is one assignment.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps another pinned policy, or none: what is compared with the one before ends.
    fn pins(&self, pin: Option<Arc<Pin>>) {
        let is_compared = |running: &Running| running.with == PolicyChoice::Pinned;
        if self.inner().running.as_ref().is_some_and(is_compared) {
            self.end();
        }
        self.inner().pinned = pin;
        self.events.send(Event::ComparisonChanged);
    }
}

impl App {
    /// Keeps the policy `choice` as it is now.
    pub fn pin_policy(&self, choice: PolicyChoice) -> Result<Comparison> {
        let view = self.view();
        let (folder, staged) = match choice {
            PolicyChoice::Source => (
                self.private_folder(|path| PolicyFolder::pin(path, &view.folder, &[]))?,
                0,
            ),
            PolicyChoice::Staged => {
                let (files, staged) = (self.changes.files(&view)?, self.changes.staged().len());
                (
                    self.private_folder(|path| PolicyFolder::pin(path, &view.folder, &files))?,
                    staged,
                )
            }
            PolicyChoice::Pinned => return Err(Fault::input("It is pinned already.")),
        };
        let mut reading = read_folder(folder.path())
            .map_err(|error| Fault::new("pin", format!("The pinned policy cannot be read: {error}")))?;
        reading.world.version = view.world().version;
        let pin = Pin {
            folder: Arc::new(folder),
            world: reading.world,
            shown: Pinned {
                source: view.state().name,
                staged: staged as u64,
                objects: reading.objects,
                at: now(),
            },
        };
        self.comparing.pins(Some(Arc::new(pin)));
        Ok(self.comparison())
    }

    /// Ends what is compared.
    pub fn stop_comparing(&self) {
        self.comparing.end();
    }

    /// Lets go of what was pinned. A sandbox that enforces it goes on.
    pub fn unpin_policy(&self) -> Comparison {
        self.comparing.pins(None);
        self.comparison()
    }

    /// Has the policy `with` decide everything too that the sandbox's sidecar decides from now on, and starts a sidecar
    /// beside it that enforces it.
    pub fn compare_with(&self, with: PolicyChoice) -> Result<Comparison> {
        let state = self.sidecar.state();
        let (Phase::Running, Some(slot)) = (state.state, self.sidecar.slot()) else {
            return Err(Fault::new("sandbox", "No sandbox runs.").hint("Start it first: its requests are compared."));
        };
        if with == state.policy {
            return Err(Fault::input(
                "The sandbox enforces this policy already: nothing would be different.",
            ));
        }
        self.comparing.end();
        let turn = self.comparing.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.view();
        if let Err(fault) = self.put_beside(&slot, &view, with) {
            // Nothing is compared with half of a policy.
            let _ = slot.clear();
            return Err(fault);
        }
        self.comparing.inner().running = Some(Running {
            with,
            folder: slot.clone(),
            after: self.traffic.last_id(),
            since: Timestamp(OffsetDateTime::now_utc()).to_string(),
            sent: HashMap::new(),
            fault: None,
            beside_fault: None,
        });
        // What is decided does not need it.
        let started = self.start_beside(&view, &state, with, slot).err();
        if let Some(running) = &mut self.comparing.inner().running {
            running.beside_fault = started;
        }
        drop(turn);
        // What was staged, or changed, while it started.
        self.keep_compared_up();
        self.comparing.events.send(Event::ComparisonChanged);
        Ok(self.comparison())
    }

    fn start_beside(
        &self,
        view: &View,
        state: &SandboxState,
        choice: PolicyChoice,
        folder: Arc<PolicyFolder>,
    ) -> Result<()> {
        let workload = self.named_workload(view, &state.workload)?;
        let enforced = Enforced {
            folder: &view.folder,
            version: view.world().version,
            cluster: view.origin.cluster(),
            choice,
            own: Some(folder),
            slot: None,
            takes: Takes::Nothing,
            taken: Environment::default(),
        };
        self.comparing.beside.start(workload, enforced).map(drop)
    }

    /// Puts the policy where the sidecar looks for it; returns when it decides by all of it.
    fn put_beside(&self, slot: &PolicyFolder, view: &View, with: PolicyChoice) -> Result<()> {
        self.await_compared("let go of the policy compared before", |compared| compared.is_none())?;
        self.fill(slot, view, with)?;
        let files = slot.files().map_err(|error| Fault::file("read", slot.path(), &error))?;
        self.await_compared("read the policy to compare with", |compared| {
            compared.is_some_and(|compared| compared.files == files)
        })
    }

    fn await_compared(&self, what: &str, holds: impl Fn(Option<Compared>) -> bool) -> Result<()> {
        let until = Instant::now() + READ;
        while !holds(self.sidecar.compared()) {
            if Instant::now() > until {
                return Err(Fault::new("compare", format!("The sidecar does not {what}."))
                    .hint("Stop the sandbox, and start it again."));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Makes `folder` say what the policy `choice` says now.
    pub(super) fn fill(&self, folder: &PolicyFolder, view: &View, choice: PolicyChoice) -> Result<()> {
        let kept = match choice {
            PolicyChoice::Source => folder.keep(&view.folder, &[]),
            PolicyChoice::Staged => folder.keep(&view.folder, &self.changes.files(view)?),
            PolicyChoice::Pinned => folder.keep(self.comparing.pin()?.folder.path(), &[]),
        };
        kept.map_err(|error| Fault::file("write", folder.path(), &error))
    }

    /// Keeps what is compared with up with what is staged and with the source.
    pub(super) fn keep_compared_up(&self) {
        let (folder, with) = match &self.comparing.inner().running {
            Some(running) => (running.folder.clone(), running.with),
            None => return,
        };
        let turn = folder.turn();
        let is_current = |running: &Running| running.with == with && Arc::ptr_eq(&running.folder, &folder);
        if !self.comparing.inner().running.as_ref().is_some_and(is_current) {
            return;
        }
        let fault = self.fill(&folder, &self.view(), with).err();
        drop(turn);
        let mut inner = self.comparing.inner();
        let Some(running) = inner
            .running
            .as_mut()
            .filter(|running| is_current(running) && running.fault != fault)
        else {
            return;
        };
        running.fault = fault;
        drop(inner);
        self.comparing.events.send(Event::ComparisonChanged);
    }

    /// What is pinned, and what is compared with.
    pub fn comparison(&self) -> Comparison {
        let beside = self.comparing.beside.state();
        let policy_hash = self.sidecar.compared().map(|compared| compared.hash);
        let inner = self.comparing.inner();
        let pinned = inner.pinned.as_ref().map(|pin| pin.shown.clone());
        let Some(running) = &inner.running else {
            return Comparison {
                pinned,
                ..Comparison::default()
            };
        };
        Comparison {
            pinned,
            with: Some(running.with),
            policy_hash,
            fault: running.fault.clone(),
            beside: beside.state,
            beside_fault: running.beside_fault.clone().or(beside.fault),
        }
    }

    /// The newest requests with what both policies make of them, or of these the ones that would be different or may be.
    pub fn compared(&self, only_different: bool) -> ComparedPage {
        let inner = self.comparing.inner();
        let Some(running) = &inner.running else {
            return ComparedPage::default();
        };
        let mut page = ComparedPage::default();
        let mut rows = VecDeque::new();
        self.traffic.each_after(running.after, |row| {
            let Some(decided) = &row.record.other else { return };
            if row.record.time < running.since {
                return;
            }
            let other = match running.sent.get(&row.id) {
                Some(sent) => sent_otherwise(row, decided, sent),
                None => other_way(decided),
            };
            page.compared += 1;
            match other.likeness {
                Likeness::Same if only_different => return,
                Likeness::Same => {}
                Likeness::Different => page.different += 1,
                Likeness::Unknown => page.unknown += 1,
            }
            if rows.len() == ROWS {
                rows.pop_front();
            }
            rows.push_back(ComparedRow {
                flow: row.flow(),
                other,
            });
        });
        page.rows = rows.into();
        page
    }

    /// Sends what was sent through the sandbox's sidecar through the one beside too, and notes what came of it.
    pub(super) fn send_beside(&self, result: &mut RequestResult, asked: (&str, &str)) {
        match self.sent_beside(asked) {
            Ok(sent) => {
                if let (Some(id), Some(running)) = (result.flow_id, &mut self.comparing.inner().running) {
                    running.sent.insert(id, sent.clone());
                }
                result.beside = Some(sent);
            }
            Err(fault) => result.beside_fault = Some(fault),
        }
        self.comparing.events.send(Event::ComparisonChanged);
    }

    fn sent_beside(&self, asked: (&str, &str)) -> Result<SentBeside> {
        let Some(with) = self.comparing.inner().running.as_ref().map(|running| running.with) else {
            return Err(Fault::input("Nothing is compared with."));
        };
        let snapshot = self.snapshot_of(with, &self.sidecar.state().workload);
        let from = FromSandbox(&self.comparing.beside);
        let sent = probe::send_request(&from, &self.comparing.traffic, &snapshot, asked)?;
        Ok(SentBeside {
            verdict: sent.verdict,
            status: sent.status,
            exit: sent.exit,
            took_ms: sent.took_ms,
            line: sent.line,
        })
    }

    /// The World of what is pinned.
    pub(super) fn pinned_world(&self) -> Option<Arc<Pin>> {
        self.comparing.inner().pinned.clone()
    }
}

impl Pin {
    /// What it says.
    pub fn world(&self) -> &World {
        &self.world
    }
}
