//! Following a cluster's logs: the choice of workloads, the access log's switch, and its end.

use std::{
    io,
    sync::{Arc, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use time::OffsetDateTime;

use crate::{
    app::App,
    cluster::{Chosen, MAX_CHOSEN},
    dto::{Edit, LogSource, StagedEdit},
    events::Event,
    fault::{Fault, Result},
    session::{self, View, time_text},
};

/// Longest time for which an access log is switched on: a day. What is to stay is switched on without an end.
const MAX_MINUTES: u32 = 24 * 60;
/// How often it is looked whether an access log is due to end.
const LOOK: Duration = Duration::from_secs(2);
/// How long a removal that failed rests before it is tried again.
const REST: Duration = Duration::from_secs(60);

impl App {
    /// Follows only the logs of these workloads and namespaces of the open cluster; of all where there is none.
    pub fn follow_workloads(&self, workloads: Vec<String>) -> Result<()> {
        let view = self.view();
        let cluster = view
            .origin
            .cluster()
            .ok_or_else(|| Fault::input("A folder is open: it has no pods."))?;
        if workloads.len() > MAX_CHOSEN {
            return Err(Fault::input(format!("More than {MAX_CHOSEN} workloads are chosen."))
                .hint("Choose their namespaces instead."));
        }
        let is_name = |name: &str| {
            let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
            (1..=253).contains(&name.len()) && name.bytes().all(legal)
        };
        match workloads.iter().find(|name| !name.splitn(2, '/').all(is_name)) {
            Some(wrong) => Err(Fault::input(format!(
                "{wrong:?} is no NAMESPACE and no NAMESPACE/WORKLOAD."
            ))),
            None => {
                cluster.choose_logs(workloads.into_iter().collect::<Chosen>());
                Ok(())
            }
        }
    }

    /// Pods that are followed and access logs that are on; `None` for a folder.
    pub fn log_source(&self) -> Option<LogSource> {
        let mut source = session::log_source(&self.view())?;
        source.access_log.removal.clone_from(&self.removal());
        Some(source)
    }

    fn removal(&self) -> MutexGuard<'_, Option<Fault>> {
        // It is replaced whole.
        self.removal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stages the access log of `scope`: on, for `minutes` from now or until somebody removes it, or off.
    pub fn stage_access_log(&self, scope: String, on: bool, minutes: Option<u32>) -> Result<Vec<StagedEdit>> {
        let until = match minutes.filter(|_| on) {
            Some(minutes) if !(1..=MAX_MINUTES).contains(&minutes) => {
                return Err(Fault::input(format!(
                    "A time of 1 to {MAX_MINUTES} minutes is expected."
                )));
            }
            Some(minutes) => {
                let until = OffsetDateTime::now_utc() + Duration::from_secs(u64::from(minutes) * 60);
                // Whole seconds: a person reads it in the object.
                Some(time_text(until.replace_nanosecond(0).unwrap_or(until)))
            }
            None => None,
        };
        self.changes.stage(&self.view(), Edit::AccessLog { scope, on, until })
    }

    /// Takes the access logs away that are due to end, where editing is on. Nothing happens where none is.
    pub fn remove_due(&self) -> Result<()> {
        let due = |view: &View| {
            let editing = view.origin.cluster().is_some_and(|cluster| cluster.is_editing());
            if editing { session::due(view) } else { Vec::new() }
        };
        if due(&self.view()).is_empty() {
            return Ok(());
        }
        let (removed, outcome) = self.while_open(|| {
            // Another place may be open by now.
            let view = self.view();
            let (mut removed, mut outcome) = (Vec::new(), Ok(()));
            // One by one: what keeps one from being taken away keeps no other.
            for edit in due(&view) {
                match self.changes.apply_now(&view, &self.traffic, vec![edit.clone()]) {
                    Ok(_) => removed.push(edit),
                    Err(fault) => outcome = outcome.and(Err(fault)),
                }
            }
            Ok((removed, outcome))
        })?;
        // Who staged the same has it now.
        for staged in self
            .changes
            .staged()
            .iter()
            .filter(|staged| removed.contains(&staged.edit))
        {
            self.changes.unstage(&self.view(), staged.id)?;
        }
        // The mirror has it; the windows are told before its watch is.
        self.events.send(Event::LogsChanged);
        outcome
    }
}

/// Ends access logs when they are due, until the window is closed.
pub fn end_access_logs(app: &Arc<App>) -> io::Result<()> {
    let app: Weak<App> = Arc::downgrade(app);
    let look = move || {
        let mut told = false;
        loop {
            thread::sleep(LOOK);
            let Some(app) = app.upgrade() else { return };
            // A window that shows when it ends learns that it did, with editing off too.
            let overdue = session::switched_on(&app.view()).iter().any(|log| log.overdue);
            if overdue && !told {
                app.events.send(Event::LogsChanged);
            }
            told = overdue;
            let failed = app.remove_due().err();
            let rests = failed.is_some();
            if *app.removal() != failed {
                *app.removal() = failed;
                app.events.send(Event::LogsChanged);
            }
            drop(app);
            if rests {
                thread::sleep(REST);
            }
        }
    };
    thread::Builder::new().name("access-logs".into()).spawn(look).map(drop)
}
