//! Records on their way to whoever reads `/flows`: one queue for all readers, bounded in bytes, so that one that stalls
//! costs no more memory than that, and the workers no time.
//!
//! A record waits until each reader has it. Where there is no room for the next one, the oldest go: they count as dropped for
//! each reader that did not have them, who is told how many it missed.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// Bytes of records that wait for the slowest reader; a thousand requests. A sidecar's memory is its pod's.
pub(super) const QUEUE: usize = 1024 * 1024;

/// Readers at a time: they hold their connections for as long as they like, and probes and scrapers need some too.
pub const FLOW_READERS: usize = 32;

/// Bytes that a reader takes at once, unless one record is longer.
const BATCH: usize = 16 * 1024;

/// All that read `/flows`.
#[derive(Debug, Default)]
pub(super) struct FlowStreams {
    queue: Mutex<Queue>,
    added: Notify,
    /// Who reads, for workers that would write for nobody.
    readers: AtomicUsize,
}

/// A reader's end of `/flows`, until it is dropped.
#[derive(Debug)]
pub struct FlowStream {
    streams: Arc<FlowStreams>,
    id: u64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Lines that a reader still waits for, oldest first.
    lines: VecDeque<Box<str>>,
    bytes: usize,
    /// Lines that were in the queue and are not any more: the number of the first one that is.
    first: u64,
    readers: Vec<Reader>,
    /// Reader's numbers given so far.
    ids: u64,
    /// Lines that a reader did not get, counted once for each reader.
    dropped: u64,
}

#[derive(Debug)]
struct Reader {
    id: u64,
    /// Number of the line that it gets next.
    next: u64,
    /// Lines that it did not get, and was not told of.
    missed: u64,
}

impl FlowStreams {
    /// A reader of what comes from now on; `None` where there are [`FLOW_READERS`] already.
    pub fn subscribe(self: &Arc<Self>) -> Option<FlowStream> {
        let mut queue = self.queue();
        if queue.readers.len() >= FLOW_READERS {
            return None;
        }
        queue.ids += 1;
        let reader = Reader {
            id: queue.ids,
            next: queue.end(),
            missed: 0,
        };
        let id = reader.id;
        queue.readers.push(reader);
        self.readers.store(queue.readers.len(), Ordering::Relaxed);
        Some(FlowStream {
            streams: self.clone(),
            id,
        })
    }

    /// True where nobody reads.
    pub fn is_idle(&self) -> bool {
        self.readers.load(Ordering::Relaxed) == 0
    }

    /// Adds a line for all readers.
    pub fn add(&self, line: String) {
        self.queue().add(line.into());
        self.added.notify_waiters();
    }

    /// Lines that readers did not get, since they were too slow.
    pub fn dropped(&self) -> u64 {
        self.queue().dropped
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FlowStream {
    /// The next lines, once there are any. What was missed before them is said first.
    pub async fn next(&mut self) -> String {
        loop {
            let mut added = std::pin::pin!(self.streams.added.notified());
            // From here on nothing that is added goes unheard.
            added.as_mut().enable();
            let lines = self.streams.queue().take(self.id);
            if !lines.is_empty() {
                return lines;
            }
            added.await;
        }
    }
}

impl Drop for FlowStream {
    fn drop(&mut self) {
        let mut queue = self.streams.queue();
        queue.readers.retain(|reader| reader.id != self.id);
        queue.forget();
        self.streams.readers.store(queue.readers.len(), Ordering::Relaxed);
    }
}

impl Queue {
    /// Number of the line that comes next.
    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    fn add(&mut self, line: Box<str>) {
        if self.readers.is_empty() {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > QUEUE {
            self.remove_first();
            for reader in self.readers.iter_mut().filter(|reader| reader.next < self.first) {
                reader.next = self.first;
                reader.missed += 1;
                self.dropped += 1;
            }
        }
    }

    /// Lines for the reader `id`; none where it has them all.
    fn take(&mut self, id: u64) -> String {
        let mut text = String::new();
        let Some(reader) = self.readers.iter_mut().find(|reader| reader.id == id) else {
            return text;
        };
        let missed = std::mem::take(&mut reader.missed);
        if missed > 0 {
            text = format!("{{\"dropped\":{missed}}}\n");
        }
        // All that waits lies in memory: its number fits.
        for line in self.lines.iter().skip((reader.next - self.first) as usize) {
            if !text.is_empty() && text.len() + line.len() > BATCH {
                break;
            }
            text.push_str(line);
            reader.next += 1;
        }
        self.forget();
        text
    }

    /// Lets go of what all readers have.
    fn forget(&mut self) {
        let next = self.readers.iter().map(|reader| reader.next).min();
        let next = next.unwrap_or_else(|| self.end());
        while self.first < next {
            self.remove_first();
        }
        if self.lines.is_empty() {
            // Room for a flood is given back.
            self.lines.shrink_to(BATCH / size_of::<Box<str>>());
        }
    }

    fn remove_first(&mut self) {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= line.len();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> String {
        format!("{number:0999}\n")
    }

    /// What a reader gets without waiting.
    fn now(stream: &FlowStream) -> String {
        std::iter::repeat_with(|| stream.streams.queue().take(stream.id))
            .take_while(|lines| !lines.is_empty())
            .collect()
    }

    #[test]
    fn each_reader_gets_what_is_added_from_its_beginning_and_no_line_outlives_the_last_who_waits_for_it() {
        let streams = Arc::<FlowStreams>::default();
        streams.add(line(0));
        let first = streams.subscribe().unwrap();
        streams.add(line(1));
        let second = streams.subscribe().unwrap();
        streams.add(line(2));
        assert_eq!(now(&first), line(1) + &line(2));
        assert_eq!(streams.queue().bytes, 1000, "the second one waits for a line");
        assert_eq!(now(&second), line(2));
        assert_eq!(streams.queue().bytes, 0);
        streams.add(line(3));
        drop(first);
        assert_eq!(streams.queue().bytes, 1000);
        drop(second);
        assert_eq!((streams.queue().bytes, streams.is_idle()), (0, true));
        assert_eq!(streams.dropped(), 0, "who left missed nothing");
    }

    #[test]
    fn a_reader_that_stalls_holds_no_more_than_the_bound_and_is_told_what_it_missed() {
        let streams = Arc::<FlowStreams>::default();
        let (reads, stalls) = (streams.subscribe().unwrap(), streams.subscribe().unwrap());
        let all = 3 * QUEUE / 1000;
        for number in 0..all {
            streams.add(line(number));
            assert_eq!(now(&reads), line(number));
            assert!(streams.queue().bytes <= QUEUE);
        }
        let kept = QUEUE / 1000;
        let dropped = all - kept;
        assert_eq!(streams.dropped(), dropped as u64, "the one who reads missed nothing");
        let lines: String = (dropped..all).map(line).collect();
        assert!(now(&stalls) == format!("{{\"dropped\":{dropped}}}\n{lines}"));
        streams.add(line(0));
        assert_eq!(now(&stalls), line(0), "it is told once");
    }

    #[test]
    fn a_record_longer_than_there_is_room_for_is_dropped_like_any_other() {
        let streams = Arc::<FlowStreams>::default();
        let reader = streams.subscribe().unwrap();
        streams.add("x".repeat(QUEUE + 1));
        assert_eq!(now(&reader), "{\"dropped\":1}\n");
        let long = "x".repeat(BATCH * 2);
        streams.add(long.clone());
        assert!(now(&reader) == long, "longer than what is taken at once");
    }

    #[test]
    fn there_are_no_more_readers_than_there_may_be_and_one_that_leaves_makes_room() {
        let streams = Arc::<FlowStreams>::default();
        let mut readers: Vec<FlowStream> = (0..FLOW_READERS).map(|_| streams.subscribe().unwrap()).collect();
        assert!(streams.subscribe().is_none());
        readers.pop();
        assert!(streams.subscribe().is_some());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_line() {
        let streams = Arc::<FlowStreams>::default();
        let mut reader = streams.subscribe().unwrap();
        let adds = streams.clone();
        let (lines, ()) = tokio::join!(reader.next(), async move { adds.add(line(1)) });
        assert_eq!(lines, line(1));
    }
}
