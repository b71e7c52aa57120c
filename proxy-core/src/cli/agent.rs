//! `egret-proxy agent`: runs commands inside a sandbox for the app. Requests arrive as lines of JSON on standard input,
//! output leaves as lines of JSON on standard output; at the end of the input everything started is ended.

use std::{
    collections::HashMap,
    io::{self, BufRead, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitCode, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use clap::Args;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest piece of output in one line.
const CHUNK: usize = 16 * 1024;

/// Arguments of `agent`.
#[derive(Debug, Args)]
pub struct Agent {}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Request {
    Run {
        id: u64,
        argv: Vec<String>,
        /// Variables beside those that the agent has. They are not in its own environment, which others may read.
        #[serde(default)]
        environment: HashMap<String, String>,
    },
    Kill {
        id: u64,
    },
}

type Children = Arc<Mutex<HashMap<u64, Child>>>;

impl Agent {
    /// Serves until the input ends.
    pub fn run(self) -> ExitCode {
        let children = Children::default();
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(Request::Run { id, argv, environment }) => start(id, &argv, &environment, &children),
                Ok(Request::Kill { id }) => {
                    if let Some(child) = lock(&children).get(&id) {
                        end(child);
                    }
                }
                Err(error) => tell(&json!({"error": error.to_string()})),
            }
        }
        lock(&children).values().for_each(end);
        ExitCode::SUCCESS
    }
}

fn lock(children: &Children) -> std::sync::MutexGuard<'_, HashMap<u64, Child>> {
    children.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a command with everything that it started and that stayed in its process group.
fn end(child: &Child) {
    // It may have ended in the meantime; until it is waited for its number is no other's.
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
}

fn start(id: u64, argv: &[String], environment: &HashMap<String, String>, children: &Children) {
    let Some((program, arguments)) = argv.split_first() else {
        return tell(&json!({"id": id, "exit": 2}));
    };
    let spawned = Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            tell(&json!({"id": id, "stream": "stderr", "text": format!("{program}: {error}\n")}));
            return tell(&json!({"id": id, "exit": 127}));
        }
    };
    let output = child.stdout.take().map(|output| pass(id, "stdout", output));
    let errors = child.stderr.take().map(|errors| pass(id, "stderr", errors));
    lock(children).insert(id, child);
    let children = children.clone();
    thread::spawn(move || {
        for reader in [output, errors].into_iter().flatten() {
            // A reader that panicked has passed on what it could.
            let _ = reader.join();
        }
        let child = lock(&children).remove(&id);
        let status = child.and_then(|mut child| child.wait().ok());
        // Ended by a signal: as a shell tells it.
        let code = status.and_then(|status| status.code().or_else(|| status.signal().map(|signal| 128 + signal)));
        tell(&json!({"id": id, "exit": code.unwrap_or(1)}));
    });
}

fn pass(id: u64, stream: &'static str, output: impl Read + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        in_pieces(output, |text| tell(&json!({"id": id, "stream": stream, "text": text})));
    })
}

/// Reads `output` to its end; `take` gets it as text. A letter whose bytes come in two readings stays whole.
fn in_pieces(mut output: impl Read, mut take: impl FnMut(&str)) {
    let mut buffer = vec![0; CHUNK];
    let mut kept = 0;
    while let Ok(length @ 1..) = output.read(&mut buffer[kept..]) {
        let there = kept + length;
        let whole = there - begun_letter(&buffer[..there]);
        if whole > 0 {
            take(&String::from_utf8_lossy(&buffer[..whole]));
        }
        buffer.copy_within(whole..there, 0);
        kept = there - whole;
    }
    if kept > 0 {
        take(&String::from_utf8_lossy(&buffer[..kept]));
    }
}

/// How many bytes at the end of `bytes` are a letter of UTF-8 that is not there whole.
fn begun_letter(bytes: &[u8]) -> usize {
    let end = &bytes[bytes.len().saturating_sub(3)..];
    let Some(first) = end.iter().rposition(|byte| *byte >= 0xc0) else {
        return 0;
    };
    // Without a length the error is that more bytes are wanted.
    let begun = str::from_utf8(&end[first..]).is_err_and(|error| error.error_len().is_none());
    if begun { end.len() - first } else { 0 }
}

/// One line; lines of several threads do not mix.
fn tell(message: &Value) {
    let mut output = io::stdout().lock();
    // When the app is gone the input ends too.
    let _ = writeln!(output, "{message}").and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of `1`.
    struct Slow<'b>(&'b [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            let (piece, rest) = self.0.split_at(length);
            buffer[..length].copy_from_slice(piece);
            self.0 = rest;
            Ok(length)
        }
    }

    #[test]
    fn letters_stay_whole_however_output_comes() {
        for bytes in ["aé€😀b\n".repeat(9).as_bytes(), b"\xff\xfea\xe2\x82", b"\xf0\x9f", b""] {
            for length in 1..7 {
                let mut text = String::new();
                in_pieces(Slow(bytes, length), |piece| text.push_str(piece));
                assert_eq!(text, String::from_utf8_lossy(bytes), "{length}");
            }
        }
    }
}
