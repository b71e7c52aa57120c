//! Runs commands in the sandbox through the agent there: one JSON object a line, requests on its standard input, output
//! and ends on its standard output.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead as _, BufReader, Read, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use serde::Deserialize;
use serde_json::json;

use crate::fault::{Fault, Result};

/// Chunks of output that wait for their reader; a command that writes faster is slowed down by its pipe.
const WAITING: usize = 256;

/// Where output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Text(Stream, String),
    Exit(i32),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Text { id: u64, stream: Stream, text: String },
    Exit { id: u64, exit: i32 },
}

type Readers = Arc<Mutex<HashMap<u64, mpsc::SyncSender<Output>>>>;

/// The agent of one sandbox.
#[derive(Clone)]
pub struct Agent {
    input: Arc<Mutex<Option<Box<dyn Write + Send>>>>,
    readers: Readers,
    next: Arc<AtomicU64>,
}

impl Agent {
    pub fn new(input: impl Write + Send + 'static) -> Self {
        Self {
            input: Arc::new(Mutex::new(Some(Box::new(input)))),
            readers: Readers::default(),
            next: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Reads what the agent says until it ends; then every command that runs has ended too.
    pub fn read(&self, output: impl Read) {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            let Ok(line) = serde_json::from_str::<Line>(&line) else {
                continue;
            };
            let (id, output, last) = match line {
                Line::Text { id, stream, text } => (id, Output::Text(stream, text), false),
                Line::Exit { id, exit } => (id, Output::Exit(exit), true),
            };
            let reader = self.readers().get(&id).cloned();
            // A reader that went away wants no more; the command runs on.
            if let Some(reader) = reader {
                let _ = reader.send(output);
            }
            if last {
                self.readers().remove(&id);
            }
        }
        self.readers().clear();
    }

    /// Starts a command; its output comes through the receiver, which ends early when the sandbox does.
    /// `environment` goes to it alone.
    pub fn run(
        &self,
        argv: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Result<(u64, mpsc::Receiver<Output>)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (output_tx, output_rx) = mpsc::sync_channel(WAITING);
        self.readers().insert(id, output_tx);
        self.say(&json!({ "run": { "id": id, "argv": argv, "environment": environment } }))
            .inspect_err(|_| {
                self.readers().remove(&id);
            })?;
        Ok((id, output_rx))
    }

    /// Ends a command.
    pub fn kill(&self, id: u64) -> Result<()> {
        self.say(&json!({ "kill": { "id": id } }))
    }

    /// Closes the agent's input: it ends its commands, and itself.
    pub fn close(&self) {
        self.input.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn say(&self, message: &serde_json::Value) -> Result<()> {
        let gone = || Fault::new("sandbox", "The sandbox has ended.").hint("Start it again.");
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let input = input.as_mut().ok_or_else(gone)?;
        writeln!(input, "{message}")
            .and_then(|()| input.flush())
            .map_err(|_| gone())
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::SyncSender<Output>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
