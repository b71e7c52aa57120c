//! The ring of flows. Bounded twice, by rows and by bytes: whichever is reached first pushes the oldest rows out, and
//! every row that is lost is counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use proxy_core::record::{FlowRecord, FlowWorkload};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::filter::Filter;
use crate::dto::{LogPage, LogQuery};

/// Most rows that are kept.
pub const MAX_ROWS: usize = 1_000_000;
/// Most bytes that they take: a full ring of ordinary rows stays below it, a flood of long paths does not take the
/// machine's memory.
pub const MAX_BYTES: usize = 768 << 20;
/// Queries whose counts are kept up to date; a window has one.
const MAX_FILTERS: usize = 8;
/// Callers whose flows share one copy of what they are: more than the pods that are followed at once.
const MAX_WORKLOADS: usize = 64;
/// Seconds of the rate chart.
const SECONDS: usize = 60;

/// One flow with its number.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: u64,
    pub record: FlowRecord,
}

/// The flows seen so far.
#[derive(Debug)]
pub struct Traffic {
    ring: Mutex<Ring>,
    came: Condvar,
}

#[derive(Debug)]
struct Ring {
    rows: VecDeque<Row>,
    bytes: usize,
    max_rows: usize,
    max_bytes: usize,
    /// Id of the next row; ids start at 1 and are never given twice.
    next: u64,
    dropped: u64,
    closed: bool,
    lag_ms: u64,
    filters: Vec<Filter>,
    /// The callers of the last rows. Their labels take more than all else that a row says.
    workloads: VecDeque<Arc<FlowWorkload>>,
    /// Rows of the last seconds: (unix second, count).
    rate: VecDeque<(i64, u32)>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self::bounded(MAX_ROWS, MAX_BYTES)
    }
}

impl Traffic {
    /// A store with these bounds.
    pub fn bounded(max_rows: usize, max_bytes: usize) -> Self {
        Self {
            ring: Mutex::new(Ring {
                rows: VecDeque::new(),
                bytes: 0,
                max_rows,
                max_bytes,
                next: 1,
                dropped: 0,
                closed: false,
                lag_ms: 0,
                filters: Vec::new(),
                workloads: VecDeque::new(),
                rate: VecDeque::new(),
            }),
            came: Condvar::new(),
        }
    }

    /// Adds a flow and gives its id.
    pub fn add(&self, record: FlowRecord) -> u64 {
        let now = OffsetDateTime::now_utc();
        let lag = lag(&record, now);
        let mut ring = self.lock();
        ring.lag_ms = lag;
        ring.count_second(now.unix_timestamp());
        let id = ring.push(record);
        drop(ring);
        self.came.notify_all();
        id
    }

    /// Waits for a row after `after` and gives the id of the newest; `None` once nobody looks at the flows any more.
    pub fn await_newer(&self, after: u64) -> Option<u64> {
        let waits = |ring: &mut Ring| ring.next - 1 <= after && !ring.closed;
        let ring = self.came.wait_while(self.lock(), waits);
        let ring = ring.unwrap_or_else(PoisonError::into_inner);
        (!ring.closed).then_some(ring.next - 1)
    }

    /// Nobody looks at the flows any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.came.notify_all();
    }

    /// The newest row after `after` that `test` holds for, waited for no longer than `limit`.
    pub fn await_newest(&self, after: u64, limit: Duration, test: impl Fn(&Row) -> bool) -> Option<Row> {
        let end = Instant::now() + limit;
        let mut ring = self.lock();
        loop {
            let mut newest_first = ring.rows.iter().rev().take_while(|row| row.id > after);
            if let Some(row) = newest_first.find(|row| test(row)) {
                return Some(row.clone());
            }
            let left = end.checked_duration_since(Instant::now())?;
            ring = self
                .came
                .wait_timeout(ring, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Counts flows that were lost before they came here.
    pub fn lost(&self, count: u64) {
        self.lock().dropped += count;
    }

    /// Takes everything away. Ids go on.
    pub fn clear(&self) {
        let mut ring = self.lock();
        ring.rows.clear();
        ring.filters.clear();
        ring.rate.clear();
        (ring.bytes, ring.lag_ms) = (0, 0);
    }

    /// Id of the newest row, or of the last one ever given.
    pub fn last_id(&self) -> u64 {
        self.lock().next - 1
    }

    /// Rows lost so far.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// The row `id`, while it is kept.
    pub fn row(&self, id: u64) -> Option<Row> {
        self.lock().row(id).cloned()
    }

    /// How many kept rows go from the same workload to the same name and port with the same verdict.
    pub fn similar(&self, row: &Row) -> u64 {
        let (name, port) = (row.name(), row.record.destination.port());
        let same = |other: &&Row| {
            other.record.destination.port() == port
                && other.record.verdict == row.record.verdict
                && other.record.workload == row.record.workload
                && other.name() == name
        };
        self.lock().rows.iter().filter(same).count() as u64
    }

    /// Looks at every kept row, oldest first.
    pub fn each(&self, mut look: impl FnMut(&Row)) {
        self.lock().rows.iter().for_each(&mut look);
    }

    /// Looks at every kept row after the row `after`, oldest first.
    pub fn each_after(&self, after: u64, look: impl FnMut(&Row)) {
        let ring = self.lock();
        let first = ring.rows.partition_point(|row| row.id <= after);
        ring.rows.range(first..).for_each(look);
    }

    /// The last `limit` rows that match, before the row `before` where one is named.
    pub fn page(&self, query: LogQuery, before: Option<u64>, limit: usize) -> LogPage {
        let mut ring = self.lock();
        let index = ring.filter(query);
        ring.catch_up(index);
        let filter = &ring.filters[index];
        let end = before.map_or(filter.matched.len(), |before| {
            filter.matched.partition_point(|id| *id < before)
        });
        let ids = filter.matched.range(end.saturating_sub(limit)..end);
        LogPage {
            rows: ids.filter_map(|id| ring.row(*id)).map(Row::flow).collect(),
            matched: filter.matched.len() as u64,
            kept: ring.rows.len() as u64,
            total: ring.next - 1,
            dropped: ring.dropped,
            first_id: ring.rows.front().map_or(0, |row| row.id),
            last_id: ring.rows.back().map_or(0, |row| row.id),
            facets: filter.facets(),
            lag_ms: ring.lag_ms,
            per_second: ring.per_second(OffsetDateTime::now_utc().unix_timestamp()),
        }
    }

    // A panic while the lock was held cannot leave the ring half changed in a way that matters for showing it.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, mut record: FlowRecord) -> u64 {
        self.share(&mut record.workload);
        let row = Row { id: self.next, record };
        self.next += 1;
        self.bytes += size(&row);
        let id = row.id;
        self.rows.push_back(row);
        while self.rows.len() > self.max_rows || (self.bytes > self.max_bytes && self.rows.len() > 1) {
            let Some(old) = self.rows.pop_front() else { break };
            self.bytes -= size(&old);
            self.dropped += 1;
            self.filters.iter_mut().for_each(|filter| filter.forget(&old));
        }
        id
    }

    /// Makes `workload` the copy that other rows of the same caller have.
    fn share(&mut self, workload: &mut Arc<FlowWorkload>) {
        let mut all = self.workloads.iter();
        if all.any(|known| Arc::ptr_eq(known, workload)) {
            return;
        }
        if let Some(same) = self.workloads.iter().find(|known| *known == workload) {
            *workload = same.clone();
            return;
        }
        if self.workloads.len() == MAX_WORKLOADS {
            self.workloads.pop_front();
        }
        self.workloads.push_back(workload.clone());
    }

    fn row(&self, id: u64) -> Option<&Row> {
        let first = self.rows.front()?.id;
        self.rows.get(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    /// Index of the filter for `query`, which becomes the most recently used one.
    fn filter(&mut self, query: LogQuery) -> usize {
        let known = self.filters.iter().position(|filter| filter.query == query);
        let filter = match known {
            Some(index) => self.filters.remove(index),
            None => Filter::new(query),
        };
        if self.filters.len() == MAX_FILTERS {
            self.filters.remove(0);
        }
        self.filters.push(filter);
        self.filters.len() - 1
    }

    fn catch_up(&mut self, index: usize) {
        let Some(first) = self.rows.front().map(|row| row.id) else {
            return;
        };
        let filter = &mut self.filters[index];
        let skip = usize::try_from(filter.next.saturating_sub(first)).unwrap_or(usize::MAX);
        for row in self.rows.range(skip.min(self.rows.len())..) {
            filter.add(row);
        }
    }

    fn count_second(&mut self, second: i64) {
        match self.rate.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.rate.push_back((second, 1)),
        }
        if self.rate.len() > SECONDS {
            self.rate.pop_front();
        }
    }

    /// Counts of the last seconds, oldest first; the current second is the last one.
    fn per_second(&self, now: i64) -> Vec<u32> {
        let mut counts = vec![0; SECONDS];
        for (second, count) in &self.rate {
            if let Ok(ago) = usize::try_from(now - second)
                && ago < SECONDS
            {
                counts[SECONDS - 1 - ago] = *count;
            }
        }
        counts
    }
}

/// How far behind its end a record came.
fn lag(record: &FlowRecord, now: OffsetDateTime) -> u64 {
    let Ok(start) = OffsetDateTime::parse(&record.time, &Rfc3339) else {
        return 0;
    };
    let since_end = (now - start).whole_milliseconds() - i128::from(record.duration_ms);
    u64::try_from(since_end).unwrap_or(0)
}

/// What a row takes, near enough for a bound. Who called is shared by many rows, and does not count.
fn size(row: &Row) -> usize {
    let record = &row.record;
    let optional = [
        &record.host,
        &record.sni,
        &record.method,
        &record.path,
        &record.cluster,
        &record.route,
        &record.request_id,
    ];
    let texts = optional.into_iter().flatten().map(String::len).sum::<usize>();
    size_of::<Row>() + texts + record.line.len() + record.time.len() + 96
}
