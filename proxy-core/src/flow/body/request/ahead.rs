//! Reading on in a request while something holds it up: a fault's delay, a look-up, a connection that opens. Envoy does so up
//! to its buffer's size, and so what it has received by the time of an answer of its own is in its log; where that is not all
//! of the request, the answer ends the connection.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::task;

use super::{RequestBody, RequestBroken, Source, kept::KEPT};

/// How often the connection gets its turn to hand over what it has read with the head: once to learn that somebody reads, and
/// once to read.
const TURNS: usize = 2;

/// Most frames that are read ahead: of small ones the frames themselves take more room than what is in them.
const FRAMES: usize = 4096;

/// What was read of a body and is not sent yet.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    frames: VecDeque<Result<Frame<Bytes>, RequestBroken>>,
    /// Bytes of data in them.
    size: usize,
}

impl Ahead {
    pub fn push(&mut self, frame: Result<Frame<Bytes>, RequestBroken>) {
        self.size += data_size(&frame);
        self.frames.push_back(frame);
    }

    pub fn pop(&mut self) -> Option<Result<Frame<Bytes>, RequestBroken>> {
        let frame = self.frames.pop_front()?;
        self.size -= data_size(&frame);
        Some(frame)
    }

    /// What is not broken, in its order.
    pub fn frames(&self) -> impl Iterator<Item = &Frame<Bytes>> {
        self.frames.iter().flatten()
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// True where it holds as much as it may.
    fn is_full(&self) -> bool {
        self.size >= KEPT || self.frames.len() >= FRAMES
    }
}

fn data_size(frame: &Result<Frame<Bytes>, RequestBroken>) -> usize {
    let data = frame.as_ref().ok().and_then(Frame::data_ref);
    data.map_or(0, Bytes::len)
}

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
                Poll::Ready(Some(frame)) => self.ahead.push(frame),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    fn may_read_ahead(&self) -> bool {
        matches!(self.source, Source::Caller { .. }) && !self.progress.ended.get() && !self.ahead.is_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(ahead: &mut Ahead, frame: &Bytes) -> usize {
        let before = ahead.frames.len();
        while !ahead.is_full() {
            ahead.push(Ok(Frame::data(frame.clone())));
        }
        ahead.frames.len() - before
    }

    #[test]
    fn neither_many_bytes_nor_many_frames_are_read_ahead() {
        let mut ahead = Ahead::default();
        let (large, small) = (Bytes::from(vec![0; KEPT / 4]), Bytes::from_static(b"x"));
        assert_eq!(fill(&mut ahead, &large), 4);
        ahead.pop();
        assert_eq!(fill(&mut ahead, &small), FRAMES - 3);
        assert_eq!(ahead.size(), 3 * (KEPT / 4) + FRAMES - 3);
        while ahead.pop().is_some() {}
        assert_eq!((ahead.size(), fill(&mut ahead, &small)), (0, FRAMES));
    }

    #[test]
    fn the_end_of_a_body_that_broke_off_is_no_data() {
        let mut ahead = Ahead::default();
        ahead.push(Ok(Frame::data("part".into())));
        ahead.push(Err(RequestBroken::Stream));
        assert_eq!((ahead.size(), ahead.frames().count()), (4, 1));
        ahead.pop();
        assert_eq!((ahead.size(), ahead.is_empty()), (0, false));
    }
}
