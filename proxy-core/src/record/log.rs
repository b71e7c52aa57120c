//! The access log's lines on their way to its writer, a thread of its own: a log that is slow holds no worker up.
//!
//! Workers add to one text, which the writer takes as a whole: a line costs neither an allocation nor, in most cases, a call
//! of the system.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc as channel,
    },
    thread,
    time::Duration,
};

/// Bytes of lines that wait for the writer; 16,000 lines.
const LOG_QUEUE: usize = 5 * 1024 * 1024;

/// Bytes that are worth a write of their own.
const BATCH: usize = 64 * 1024;

/// How long a line may wait for others. Below what a person notices (Envoy has them wait for 10 s), and long enough that a
/// sidecar with a hundred requests a second wakes its writer for several of them at once.
const GATHER: Duration = Duration::from_millis(100);

/// How long the last lines may take to be written when the sidecar ends.
const FLUSH: Duration = Duration::from_secs(2);

/// The log, for as long as lines are added.
#[derive(Debug)]
pub(super) struct Log(Arc<Queue>);

/// Lines on their way to the writer.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Lines that there was no room for, or that could not be written.
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: String,
    /// Who is told when everything before is written.
    flushed: Vec<channel::Sender<()>>,
    /// Nobody writes lines any more.
    closed: bool,
    /// The writer sleeps until it is woken.
    asleep: bool,
}

impl Log {
    /// The log that `output` is, with its writer.
    pub fn start(output: Box<dyn Write + Send>) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let written = queue.clone();
        thread::Builder::new()
            .name("access-log".into())
            .spawn(move || written.write(output))?;
        Ok(Self(queue))
    }

    /// Adds a line; false where there is no room for it, which is counted.
    pub fn add(&self, line: &str) -> bool {
        let is_added = self.0.add(line);
        if !is_added {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_added
    }

    /// How many lines are not in the log: there was no room for them, or they could not be written.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines so far are written. A log that hangs is not waited for.
    pub fn flush(&self) {
        let (done_tx, done_rx) = channel::channel();
        self.0.waiting().flushed.push(done_tx);
        self.0.changed.notify_one();
        if done_rx.recv_timeout(FLUSH).is_err() {
            tracing::error!("the access log did not take its last lines within {FLUSH:?}");
        }
    }
}

/// The writer writes what there is, and ends.
impl Drop for Log {
    fn drop(&mut self) {
        self.0.waiting().closed = true;
        self.0.changed.notify_one();
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &str) -> bool {
        let mut waiting = self.waiting();
        let before = waiting.lines.len();
        if before + line.len() > LOG_QUEUE {
            return false;
        }
        waiting.lines.push_str(line);
        let fills = before < BATCH && waiting.lines.len() >= BATCH;
        // To wake somebody takes longer than all the rest: the writer is, from its sleep, and for a whole batch.
        let wakes = mem::take(&mut waiting.asleep) || fills;
        drop(waiting);
        if wakes {
            self.changed.notify_one();
        }
        true
    }

    /// The writer thread: gathers lines for a moment and writes them at once. It sleeps only when none came for that long, so
    /// that a busy worker wakes nobody.
    fn write(&self, mut output: Box<dyn Write + Send>) {
        let mut batch = String::new();
        let mut waiting = self.waiting();
        loop {
            let few =
                |waiting: &mut Waiting| waiting.lines.len() < BATCH && waiting.flushed.is_empty() && !waiting.closed;
            let gathered = self.changed.wait_timeout_while(waiting, GATHER, few);
            waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
            mem::swap(&mut batch, &mut waiting.lines);
            let flushed = mem::take(&mut waiting.flushed);
            if !batch.is_empty() || !flushed.is_empty() {
                drop(waiting);
                self.write_batch(&mut batch, &mut *output);
                for done_tx in flushed {
                    // Who waited may have given up.
                    let _ = done_tx.send(());
                }
                waiting = self.waiting();
                continue;
            }
            if waiting.closed {
                return;
            }
            waiting.asleep = true;
            let asleep = |waiting: &mut Waiting| waiting.asleep && waiting.flushed.is_empty() && !waiting.closed;
            let woken = self.changed.wait_while(waiting, asleep);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
            waiting.asleep = false;
        }
    }

    fn write_batch(&self, batch: &mut String, output: &mut dyn Write) {
        if batch.is_empty() {
            return;
        }
        if let Err(error) = output.write_all(batch.as_bytes()).and_then(|()| output.flush()) {
            // A log that cannot be written must not stop traffic; the reason goes where the operator looks.
            tracing::error!(%error, "the access log cannot be written");
            self.dropped.fetch_add(batch.lines().count() as u64, Ordering::Relaxed);
        }
        batch.clear();
        // Room for a flood is given back.
        batch.shrink_to(2 * BATCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what is written once it may.
    struct Output {
        hold_rx: channel::Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Held up until the other end is gone.
            let _ = self.hold_rx.recv();
            self.written.lock().unwrap().push_str(str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Log, channel::Sender<()>, Arc<Mutex<String>>) {
        let (hold_tx, hold_rx) = channel::channel();
        let written = Arc::<Mutex<String>>::default();
        let output = Output {
            hold_rx,
            written: written.clone(),
        };
        (Log::start(Box::new(output)).unwrap(), hold_tx, written)
    }

    #[test]
    fn lines_are_written_in_their_order_and_flushed_whenever_that_is_asked_for() {
        let (log, hold_tx, written) = log();
        drop(hold_tx);
        let mut expected = String::new();
        for round in 0..3 {
            for index in 0..1000 {
                let line = format!("{round} {index} {}\n", "x".repeat(index));
                assert!(log.add(&line));
                expected.push_str(&line);
            }
            log.flush();
            assert!(*written.lock().unwrap() == expected, "round {round}");
        }
    }

    #[test]
    fn a_log_that_hangs_takes_no_more_lines_than_there_is_room_for() {
        let (log, hold_tx, written) = log();
        let line = "x".repeat(999) + "\n";
        let taken = (0..3 * LOG_QUEUE / line.len()).filter(|_| log.add(&line)).count();
        // What the writer had taken before it was held up comes on top.
        assert!(
            (LOG_QUEUE / line.len()..=2 * LOG_QUEUE / line.len()).contains(&taken),
            "{taken}"
        );
        drop(hold_tx);
        log.flush();
        assert_eq!(written.lock().unwrap().len(), taken * line.len());
        assert!(log.add(&line), "there is room again");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let log = Log::start(Box::new(full)).unwrap();
        assert!(log.add("a\n") && log.add("b\n"));
        log.flush();
        assert_eq!(log.dropped(), 2);
    }

    #[test]
    fn what_was_added_last_is_written_when_the_log_ends() {
        let (log, hold_tx, written) = log();
        log.add("a\n");
        drop(log);
        drop(hold_tx);
        // The output goes with the writer.
        while Arc::strong_count(&written) > 1 {
            thread::yield_now();
        }
        assert_eq!(*written.lock().unwrap(), "a\n");
    }
}
