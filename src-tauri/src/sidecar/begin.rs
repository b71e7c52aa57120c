//! Starts a sidecar step by step: sites, private network, readiness, flows. Where no private network can be had, the
//! explicit proxy.

use std::{
    io::Read,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use proxy_core::{model::IstioVersion, policy::Workload, sandbox::Mounted};

use super::{
    admin,
    agent::{Agent, Output},
    control::{Running, STOP, Sidecar, captured},
    last_words::{ENDED, Tail},
    launch::{Launch, free_address},
    sites,
};
use crate::{
    cluster::Forwarder,
    dto::{Phase, Way},
    fault::{Fault, Result},
    session::now,
};

/// How long a start may take; an ordinary one takes a tenth of a second.
const START: Duration = Duration::from_secs(10);

impl Sidecar {
    /// Starts the child and everything that follows it; returns when it takes connections.
    pub(super) fn launch(
        &self,
        run: u64,
        proxy: &Path,
        (folder, version): (&Path, Option<IstioVersion>),
        workload: &Workload,
        files: &[Mounted],
    ) -> Result<()> {
        self.step(run, "Starting the playground's sites");
        let sites = sites::World::start(&self.scratch)?;
        let access_log = &self.access_log;
        // One sandbox, one log: what an earlier one wrote is of no use to this one.
        std::fs::write(access_log, "").map_err(|error| Fault::file("write", access_log, &error))?;
        let slot = self.slot();
        let forwarder = self.inner().forwarder.as_ref().map(Forwarder::variable);
        let launch = Launch {
            proxy,
            forwarder: forwarder.as_deref(),
            folder,
            compare: slot.as_ref().map(|slot| slot.path()),
            version,
            workload,
            files,
            sites: &sites,
            admin: free_address()?,
            explicit: free_address()?,
            access_log,
        };
        self.step(run, "Opening a private network and starting the sidecar");
        match self.attempt(run, &launch, Way::Namespace) {
            Ok(()) => Ok(()),
            // Only where it ended by itself a private network may be what it lacks.
            Err(fault) if fault.code != ENDED || !self.is_wanted(run) => Err(fault),
            Err(refused) => {
                self.step(run, "No private network here; starting the explicit proxy");
                self.attempt(run, &launch, Way::Proxy)?;
                self.leave_files_out(files);
                // It runs, but says why it is the lesser way.
                let said = refused.hint.unwrap_or(refused.message);
                let fault = Fault::new(
                    "no-namespace",
                    "No private network can be had here; the explicit proxy runs instead.",
                );
                self.inner().state.fault = Some(fault.hint(said));
                self.told();
                Ok(())
            }
        }
    }

    /// One that runs, and is watched until its end. What does not come so far runs no more when this returns.
    fn attempt(&self, run: u64, launch: &Launch<'_>, way: Way) -> Result<()> {
        let mut child = match way {
            Way::Namespace => launch.spawn(way)?,
            Way::Proxy => agent_alone(launch)?,
        };
        let tail = Tail::default();
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Fault::new("proxy", "The sidecar's streams cannot be had."));
        };
        let handed = match way {
            Way::Namespace => launch.hand_files_over(&mut input),
            Way::Proxy => Ok(()),
        };
        let running = Running {
            agent: Agent::new(input),
            admin: launch.admin,
            explicit: launch.explicit,
            pid: child.id(),
            way,
            ca: launch.sites.ca().to_path_buf(),
        };
        let begun = self
            .read_from(&running.agent, output, errors, &tail)
            .and_then(|()| self.run_explicit_proxy(launch, &running, &tail))
            .and_then(|()| self.await_ready(run, &mut child, &running, &tail))
            // Whoever ended before all was handed over says more by its end.
            .and(handed)
            .and_then(|()| self.follow(run, &running))
            .and_then(|()| self.stands(run, &running));
        if let Err(fault) = begun {
            end(&mut child, &running.agent);
            return Err(fault);
        }
        self.spawn_reader("sidecar-wait", move |sidecar| {
            let end = child.wait().map_or_else(|_| tail.silent(), |status| tail.ended(status));
            sidecar.ended(run, end);
        })
    }

    /// Reads what the agent and the sidecar say, until they end.
    fn read_from(
        &self,
        agent: &Agent,
        output: impl Read + Send + 'static,
        errors: impl Read + Send + 'static,
        tail: &Tail,
    ) -> Result<()> {
        let (agent, tail) = (agent.clone(), tail.clone());
        self.spawn_reader("agent", move |_| agent.read(output))?;
        self.spawn_reader("sidecar-log", move |sidecar| sidecar.read_log(errors, &tail))
    }

    /// Outside a private network the agent runs the sidecar, not the sidecar the agent.
    fn run_explicit_proxy(&self, launch: &Launch<'_>, running: &Running, tail: &Tail) -> Result<()> {
        if running.way != Way::Proxy {
            return Ok(());
        }
        let argv = launch.command_line(running.way);
        let (_, output_rx) = running.agent.run(&argv, &Default::default())?;
        let tail = tail.clone();
        self.spawn_reader("sidecar-output", move |_| {
            while let Ok(output) = output_rx.recv() {
                if let Output::Text(_, text) = output {
                    text.lines().for_each(|line| tail.keep(line));
                }
            }
        })
    }

    /// Nothing is mounted outside a private network.
    fn leave_files_out(&self, files: &[Mounted]) {
        let mut inner = self.inner();
        inner.state.files = 0;
        let left = files
            .iter()
            .map(|each| format!("{}: files need the private network", each.path.display()));
        inner.state.left_out.extend(left);
    }

    fn await_ready(&self, run: u64, child: &mut Child, running: &Running, tail: &Tail) -> Result<()> {
        let started = Instant::now();
        loop {
            if !self.is_wanted(run) {
                return Err(called_off());
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(tail.ended(status));
            }
            if admin::ready(running.admin) {
                return Ok(());
            }
            if started.elapsed() > START {
                return Err(tail.silent());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn follow(&self, run: u64, running: &Running) -> Result<()> {
        self.step(run, "Following the flows");
        let (connected_tx, connected_rx) = mpsc::channel::<()>();
        let admin = running.admin;
        self.spawn_reader("flows", move |sidecar| {
            // The stream ends with the sidecar, whose end is told by whoever waits for it.
            let _ = admin::follow_flows(
                admin,
                || {
                    let _ = connected_tx.send(());
                },
                |line| sidecar.take(line),
            );
        })?;
        connected_rx
            .recv_timeout(START)
            .map_err(|_| Fault::new("flows", "The sidecar does not stream its flows."))
    }

    fn stands(&self, run: u64, running: &Running) -> Result<()> {
        let config = admin::config(running.admin)
            .map_err(|error| Fault::new("config", format!("The sidecar does not tell its policy: {error}")))?;
        let mut inner = self.inner();
        if !self.is(run) || inner.stopping {
            return Err(called_off());
        }
        let state = &mut inner.state;
        state.state = Phase::Running;
        state.step = None;
        state.captured = Some(captured(running.way, &config));
        state.policy_hash = Some(config.hash);
        state.explicit_proxy = Some(running.explicit.to_string());
        state.admin = Some(running.admin.to_string());
        state.pid = Some(running.pid);
        state.since = Some(now());
        state.way = running.way;
        inner.running = Some(running.clone());
        drop(inner);
        self.told();
        Ok(())
    }
}

/// Ends a sidecar that is wanted no more; what is below it ends with it.
fn end(child: &mut Child, agent: &Agent) {
    agent.close();
    let until = Instant::now() + STOP;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    // Of what has ended already there is nothing to kill.
    let _ = child.kill();
    let _ = child.wait();
}

fn called_off() -> Fault {
    Fault::new("stopped", "The start was called off.")
}

/// The agent outside any sandbox: it runs the explicit proxy, and ends it when the app is gone.
fn agent_alone(launch: &Launch<'_>) -> Result<Child> {
    let mut command = Command::new(launch.proxy);
    launch.lead_into_cluster(&mut command);
    command
        .arg("agent")
        // Ctrl+C in a terminal ends the app alone, whose end tells the agent to end the proxy.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
        .spawn()
        .map_err(|error| Fault::file("start", launch.proxy, &error))
}
