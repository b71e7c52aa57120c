//! Signals on their way to the command. A terminal sends Ctrl+C to every process of the foreground group, so that the
//! command has it already and the processes around it must only survive; what another process sends to the sandbox's
//! outermost process is passed on inwards.

use std::io;

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// Signals that ask a program to stop.
const ASKING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// `si_code` of what the kernel sends itself, the terminal's signals among them.
const FROM_KERNEL: i32 = 0x80;

/// The signals, held back from ending this process.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Holds them back in this thread, and in the threads and programs that it starts from now on.
    pub fn hold() -> io::Result<Self> {
        set().thread_block()?;
        Ok(Self(SignalFd::with_flags(&set(), SfdFlags::SFD_CLOEXEC)?))
    }

    /// Lets them through again in this thread, for a program that it is about to become.
    pub fn release() -> io::Result<()> {
        Ok(set().thread_unblock()?)
    }

    /// Waits for the next one that a process sent.
    pub fn next(&self) -> io::Result<Signal> {
        loop {
            let Some(signal) = self.0.read_signal()? else { continue };
            if signal.ssi_code != FROM_KERNEL {
                return Ok(Signal::try_from(signal.ssi_signo.cast_signed())?);
            }
        }
    }
}

fn set() -> SigSet {
    ASKING.into_iter().collect()
}
