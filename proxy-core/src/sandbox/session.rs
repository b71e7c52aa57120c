//! The parent's side of the sandbox.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Seek as _, Write as _},
    net::{TcpListener, UdpSocket},
    os::fd::AsFd,
    path::PathBuf,
    process::{self, Child, Stdio},
};

use nix::sys::{
    memfd::{MFdFlags, memfd_create},
    signal::Signal,
};
use serde::{Deserialize, Serialize};

use super::{
    Fault,
    channel::Channel,
    mounts::Mounted,
    plan::{Plan, Ports},
};
use crate::net::Forwarder;

/// What the parent asks of the helper.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Put these rules in force.
    Rules(Plan),
    /// Run this; its standard input is attached.
    Run(Command),
    /// Pass this signal on to the command.
    Signal(i32),
}

/// What the helper answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The namespace stands; the sockets are attached: outbound, relay, then DNS over UDP and TCP for each family.
    Ready(Ports),
    /// Whether the rules are in force; where not, those of before are.
    Rules(Result<(), Fault>),
    /// The command has ended.
    Exited(u8),
    /// Something failed.
    Failed(Fault),
}

/// A command for the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables beside those of the parent.
    pub environment: BTreeMap<String, String>,
    /// What is mounted for it; it may be secret, and goes by memory alone.
    #[serde(skip)]
    pub files: Vec<Mounted>,
}

/// Sockets that listen inside the sandbox.
#[derive(Debug)]
pub struct Sockets {
    /// For the sidecar.
    pub outbound: TcpListener,
    /// For the relay.
    pub relay: TcpListener,
    /// For DNS, a pair for IPv4 and, where the system has it, one for IPv6.
    pub dns: Vec<(UdpSocket, TcpListener)>,
}

/// A private network. Dropping it ends everything inside.
#[derive(Debug)]
pub struct Sandbox {
    channel: Channel,
    helper: Child,
    ports: Ports,
}

impl Sandbox {
    /// Builds the private network; nothing is captured before `install`.
    pub fn open() -> Result<(Self, Sockets), Fault> {
        let (channel, theirs) = Channel::pair().map_err(|error| Fault::network("socket pair", error))?;
        let helper = own_program()
            .and_then(|program| {
                process::Command::new(program)
                    .arg("inside")
                    // The command goes through the sidecar like any other.
                    .env_remove(Forwarder::VARIABLE)
                    .stdin(Stdio::from(theirs))
                    .spawn()
            })
            .map_err(|error| Fault::network("starting the helper", error))?;
        let (ports, descriptors) = match channel.receive::<Answer>() {
            Ok(Some((Answer::Ready(ports), descriptors))) => (ports, descriptors),
            Ok(Some((Answer::Failed(fault), _))) => return Err(fault),
            Ok(Some(_)) => return Err(Fault::lost("building the private network", "an unexpected answer")),
            Ok(None) => return Err(Fault::lost("building the private network", "the helper ended")),
            Err(error) => return Err(Fault::lost("building the private network", error)),
        };
        let missing = || Fault::lost("receiving sockets", "some are missing");
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or_else(missing);
        let mut sockets = Sockets {
            outbound: next()?.into(),
            relay: next()?.into(),
            dns: vec![(next()?.into(), next()?.into())],
        };
        while let (Some(udp), Some(tcp)) = (descriptors.next(), descriptors.next()) {
            sockets.dns.push((udp.into(), tcp.into()));
        }
        Ok((Self { channel, helper, ports }, sockets))
    }

    /// Local ports for the rules.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Installs rules and waits until they are in force. Before `run` only: afterwards use `replace_rules`.
    pub fn install(&self, rules: Plan) -> Result<(), Fault> {
        self.replace_rules(rules)?;
        match self.channel.receive::<Answer>() {
            Ok(Some((Answer::Rules(outcome), _))) => outcome,
            Ok(Some((Answer::Failed(fault), _))) => Err(fault),
            Ok(_) => Err(Fault::lost("installing rules", "the helper ended")),
            Err(error) => Err(Fault::lost("installing rules", error)),
        }
    }

    /// Sends new rules while a command runs; what comes of them is told to `run`'s caller.
    pub fn replace_rules(&self, rules: Plan) -> Result<(), Fault> {
        self.channel
            .send(&Request::Rules(rules), &[])
            .map_err(|error| Fault::lost("sending rules", error))
    }

    /// Passes a signal on to the command.
    pub fn signal(&self, signal: Signal) -> Result<(), Fault> {
        self.channel
            .send(&Request::Signal(signal as i32), &[])
            .map_err(|error| Fault::lost("passing a signal on", error))
    }

    /// Runs a command with this process's standard streams; gives its exit code. `told` hears what came of each set of
    /// rules that was sent meanwhile.
    pub fn run(&self, command: Command, mut told: impl FnMut(Result<(), Fault>)) -> Result<u8, Fault> {
        let input = io::stdin();
        let files = (!command.files.is_empty()).then(|| in_memory(&command.files));
        let files = files
            .transpose()
            .map_err(|error| Fault::network("keeping the workload's files", error))?;
        let descriptors: Vec<_> = [Some(input.as_fd()), files.as_ref().map(AsFd::as_fd)]
            .into_iter()
            .flatten()
            .collect();
        self.channel
            .send(&Request::Run(command), &descriptors)
            .map_err(|error| Fault::lost("starting the command", error))?;
        loop {
            match self.channel.receive::<Answer>() {
                Ok(Some((Answer::Exited(code), _))) => return Ok(code),
                Ok(Some((Answer::Rules(outcome), _))) => told(outcome),
                Ok(Some((Answer::Failed(fault), _))) => return Err(fault),
                Ok(Some(_)) => {}
                Ok(None) => return Err(Fault::lost("running the command", "the helper ended")),
                Err(error) => return Err(Fault::lost("running the command", error)),
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Its death ends the init process, and with that everything inside.
        let _ = self.helper.kill();
        let _ = self.helper.wait();
    }
}

/// A file without a name, which only those can read that it is handed to.
fn in_memory(files: &[Mounted]) -> io::Result<File> {
    let mut file = File::from(memfd_create("workload-files", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(files)?)?;
    file.rewind()?;
    Ok(file)
}

/// The program that runs now, to be started again as helper or init.
pub(super) fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}
