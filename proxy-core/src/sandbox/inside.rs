//! The helper that enters the namespaces, and the init process below which the command runs.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{self, ExitCode, Stdio},
    thread,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitStatus, wait},
    },
    unistd::{Pid, getppid},
};
use rustix::{
    process::PidfdFlags,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

use super::{
    Fault,
    channel::Channel,
    loopback,
    mounts::{self, Mounted},
    namespace,
    plan::Ports,
    session::{Answer, Command, Request, own_program},
    signals::Signals,
    tables,
};
use crate::net::ResolvConf;

/// Exit codes of a shell for a program that is not there or cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// The helper: standard input is the channel to the parent. Must be called while the process has one thread.
pub fn inside() -> ExitCode {
    let channel = match Channel::from_stdin() {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("egret-proxy inside: {error}; this subcommand is started by `exec`");
            return ExitCode::from(2);
        }
    };
    match serve(&channel) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // The parent may have gone; then nobody is left to tell.
            let _ = channel.send(&Answer::Failed(fault), &[]);
            ExitCode::FAILURE
        }
    }
}

fn serve(channel: &Channel) -> Result<(), Fault> {
    die_with_parent()?;
    namespace::enter()?;
    loopback::bring_up(&ResolvConf::read().addresses()).map_err(|error| Fault::network("setting lo up", error))?;
    pass_rights_on().map_err(|error| Fault::network("keeping the rights of the init process", error))?;
    let (ports, sockets) = listen().map_err(|error| Fault::network("opening sockets", error))?;
    let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    channel
        .send(&Answer::Ready(ports), &borrowed)
        .map_err(|error| Fault::lost("handing sockets over", error))?;
    drop(sockets);
    let mut running: Option<Running> = None;
    loop {
        if let Some(code) = wait_for_request(channel, &mut running)? {
            channel
                .send(&Answer::Exited(code), &[])
                .map_err(|error| Fault::lost("telling the exit code", error))?;
            return Ok(());
        }
        match channel
            .receive::<Request>()
            .map_err(|error| Fault::lost("waiting for requests", error))?
        {
            None => return Ok(()),
            Some((Request::Rules(rules), _)) => {
                let outcome = tables::put(&rules, None).map(drop);
                let outcome = outcome.map_err(|refused| Fault::network("setting the redirect rules", refused.cause()));
                channel
                    .send(&Answer::Rules(outcome), &[])
                    .map_err(|error| Fault::lost("answering", error))?;
            }
            Some((Request::Run(command), descriptors)) => {
                let mut descriptors = descriptors.into_iter();
                let (input, files) = (descriptors.next(), descriptors.next());
                running = Some(start(command, input, files)?);
            }
            Some((Request::Signal(signal), _)) => {
                if let (Some(running), Ok(signal)) = (&running, Signal::try_from(signal)) {
                    // It may have ended in the meantime.
                    let _ = kill(Pid::from_raw(running.init.id().cast_signed()), signal);
                }
            }
        }
    }
}

/// The init process, and a descriptor that is readable when it has ended.
struct Running {
    init: process::Child,
    ended: OwnedFd,
}

/// Waits for a message, or for the end of the init process, whose code it gives. One thread does both: the kernel lets
/// a process whose children live in another process namespace start no threads.
fn wait_for_request(channel: &Channel, running: &mut Option<Running>) -> Result<Option<u8>, Fault> {
    let Some(running) = running else { return Ok(None) };
    loop {
        let mut waiting = [
            PollFd::new(channel.as_fd(), PollFlags::POLLIN),
            PollFd::new(running.ended.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waiting, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::lost("waiting", errno)),
        }
        let [message, ended] = waiting.map(|fd| fd.any().unwrap_or(false));
        if ended {
            let code = running.init.wait().ok().and_then(|status| status.code()).unwrap_or(1);
            return Ok(Some(code.to_le_bytes()[0]));
        }
        if message {
            return Ok(None);
        }
    }
}

/// Starts the init process with the command.
fn start(command: Command, input: Option<OwnedFd>, files: Option<OwnedFd>) -> Result<Running, Fault> {
    let program = own_program().map_err(|error| Fault::network("finding the own program", error))?;
    if let Some(files) = files {
        let read = serde_json::from_reader::<_, Vec<Mounted>>(fs::File::from(files)).map_err(io::Error::from);
        read.and_then(|mounted| mounts::lay(&mounted))
            .map_err(|error| Fault::network("mounting the workload's files", error))?;
    }
    namespace::enter_processes()?;
    let init = process::Command::new(program)
        .arg("init")
        .arg("--")
        .args(&command.argv)
        .envs(&command.environment)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .spawn()
        .map_err(|error| Fault::network("starting the init process", error))?;
    let ended = rustix::process::pidfd_open(rustix::process::Pid::from_child(&init), PidfdFlags::empty())
        .map_err(|error| Fault::network("watching the init process", error))?;
    Ok(Running { init, ended })
}

/// The init process of the sandbox: gives all rights away, runs the command, reaps, ends with the command's code. With
/// its end the kernel ends whatever the command left behind.
pub fn init(argv: &[String]) -> ExitCode {
    if let Err(error) = give_rights_away() {
        eprintln!("egret-proxy: the sandbox cannot give its rights away: {error}");
        return ExitCode::from(NOT_EXECUTABLE);
    }
    let signals = match Signals::hold() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("egret-proxy: the sandbox cannot watch for signals: {error}");
            return ExitCode::from(NOT_EXECUTABLE);
        }
    };
    // Never let through in here, where a signal that comes just then would be lost: the kernel takes none to the first
    // process of a namespace that has no handler for it.
    let spawned = own_program().and_then(|own| process::Command::new(own).args(["become", "--"]).args(argv).spawn());
    let child = match spawned {
        Ok(child) => Pid::from_raw(child.id().cast_signed()),
        Err(error) => {
            eprintln!("egret-proxy: the sandbox cannot start the command: {error}");
            return ExitCode::from(NOT_EXECUTABLE);
        }
    };
    thread::spawn(move || {
        while let Ok(signal) = signals.next() {
            // When the command has ended this process ends too.
            let _ = kill(child, signal);
        }
    });
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return ExitCode::from(code.to_le_bytes()[0]),
            // As a shell tells it.
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return ExitCode::from((128 + signal as i32).to_le_bytes()[0]);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

/// Becomes the command, which knows nothing of the signals that are held back around it.
pub fn become_command(argv: &[String]) -> ExitCode {
    let Some((program, arguments)) = argv.split_first() else {
        return ExitCode::from(NOT_FOUND);
    };
    // Where this goes well it does not come back.
    let error = match Signals::release() {
        Ok(()) => process::Command::new(program).args(arguments).exec(),
        Err(error) => error,
    };
    eprintln!("egret-proxy: {program}: {error}");
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    })
}

/// The kernel kills this process when its parent ends, however it ends.
fn die_with_parent() -> Result<(), Fault> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| Fault::network("tying the helper to its parent", error))?;
    if getppid() != parent {
        return Err(Fault::lost("starting", "the parent has ended"));
    }
    Ok(())
}

/// The init process mounts its own /proc and then gives everything away: it gets the rights to do so although an ordinary user
/// starts it.
fn pass_rights_on() -> io::Result<()> {
    let own = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            inheritable: own.permitted,
            ..own
        },
    )?;
    configure_capability_in_ambient_set(CapabilitySet::SYS_ADMIN, true)?;
    configure_capability_in_ambient_set(CapabilitySet::SETPCAP, true)?;
    Ok(())
}

/// After this neither the process nor anything it starts has or gains a right in the namespaces.
fn give_rights_away() -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // Its own /proc, so that the command sees its own processes; where that is not allowed the outer one stays.
    let _ = mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    );
    let _ = mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>);
    clear_ambient_capability_set()?;
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // A capability that this kernel does not know cannot be gained either.
            Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    set_no_new_privs(true)?;
    Ok(())
}

fn listen() -> io::Result<(Ports, Vec<OwnedFd>)> {
    // Redirection leads to 127.0.0.1 and ::1, and answers over UDP must come from there for the asker to see them.
    let free = (Ipv4Addr::LOCALHOST, 0);
    let (outbound, relay) = (TcpListener::bind(free)?, TcpListener::bind(free)?);
    let dns_udp = UdpSocket::bind(free)?;
    let dns = dns_udp.local_addr()?.port();
    let dns_tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, dns))?;
    let ports = Ports {
        outbound: outbound.local_addr()?.port(),
        relay: relay.local_addr()?.port(),
        dns,
    };
    let mut sockets = vec![outbound.into(), relay.into(), dns_udp.into(), dns_tcp.into()];
    // A system without IPv6 has no IPv6 nameserver to ask either.
    if let (Ok(udp), Ok(tcp)) = (
        UdpSocket::bind((Ipv6Addr::LOCALHOST, dns)),
        TcpListener::bind((Ipv6Addr::LOCALHOST, dns)),
    ) {
        sockets.extend([udp.into(), tcp.into()]);
    }
    Ok((ports, sockets))
}
