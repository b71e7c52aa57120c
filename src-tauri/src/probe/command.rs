//! Any command in the sandbox, its output streamed as events.

use std::thread;

use crate::{
    dto::{CommandEvent, CommandStream},
    events::{Event, Events},
    fault::{Fault, Result},
    sidecar::{Output, Sidecar, Stream},
};

/// Longest command line.
const MAX_COMMAND: usize = 16 * 1024;

/// Starts `command` by the shell's rules and gives its number; its output comes as events.
pub fn run_command(sidecar: &Sidecar, events: &Events, command: &str) -> Result<u64> {
    if command.trim().is_empty() || command.len() > MAX_COMMAND {
        return Err(Fault::input("A command of at most 16 KiB is expected."));
    }
    let (id, output_rx) = sidecar.run_as_workload(&["sh", "-c", command])?;
    let events = events.clone();
    let pass = move || {
        let mut code = None;
        while let Ok(output) = output_rx.recv() {
            let (stream, text) = match output {
                Output::Text(Stream::Stdout, text) => (CommandStream::Stdout, text),
                Output::Text(Stream::Stderr, text) => (CommandStream::Stderr, text),
                Output::Exit(exit) => {
                    code = Some(exit);
                    break;
                }
            };
            let code = None;
            events.send(Event::CommandOutput(CommandEvent { id, stream, text, code }));
        }
        // Without a code the sandbox ended first.
        let (stream, text) = (CommandStream::Exit, String::new());
        events.send(Event::CommandOutput(CommandEvent { id, stream, text, code }));
    };
    thread::Builder::new()
        .name("command-output".into())
        .spawn(pass)
        .map_err(|error| Fault::new("thread", error.to_string()))?;
    Ok(id)
}
