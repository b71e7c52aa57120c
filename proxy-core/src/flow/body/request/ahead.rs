//! Reading on in a request while something holds it up: a fault's delay, a look-up, a connection that opens. Envoy does so up
//! to its buffer's size, and so what it has received by the time of an answer of its own is in its log; where that is not all
//! of the request, the answer ends the connection.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
};

use tokio::task;

use super::{KEPT, RequestBody, Source};

/// How often the connection gets its turn to hand over what it has read with the head: once to learn that somebody reads, and
/// once to read.
const TURNS: usize = 2;

impl RequestBody {
    /// Waits for `work`, and reads on meanwhile.
    pub async fn while_reading<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let done = work.as_mut().poll(cx);
            if done.is_pending() {
                self.read_ahead(cx);
            }
            done
        })
        .await
    }

    /// Reads what has come by now. Envoy hears that a connection was refused in a later turn of its loop, when it has read
    /// what came with the head.
    pub async fn read_what_came(&mut self) {
        for _ in 0..TURNS {
            if !self.may_read_ahead() {
                return;
            }
            poll_fn(|cx| {
                self.read_ahead(cx);
                Poll::Ready(())
            })
            .await;
            task::yield_now().await;
        }
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while self.may_read_ahead() {
            match self.poll_caller(cx) {
                Poll::Ready(Some(frame)) => self.ahead.push_back(frame),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    fn may_read_ahead(&self) -> bool {
        matches!(self.source, Source::Caller { .. }) && !self.progress.ended.get() && self.ahead_size() < KEPT
    }

    /// Bytes that are read and not sent yet.
    pub(super) fn ahead_size(&self) -> usize {
        let data = self.ahead.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref());
        data.map(bytes::Bytes::len).sum()
    }
}
