//! Bodies that are counted as they pass.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::Notify;

use crate::policy::HttpVersion;

mod overdue;
mod request;
mod response;
mod web;

pub(super) use request::{RequestBody, Unreadable};
pub(super) use response::{Broken, ResponseBody};

/// What the caller has sent of its request.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub bytes: Cell<u64>,
    /// Nothing more comes.
    pub ended: Cell<bool>,
    /// The caller broke it off: what it has sent is not the whole request.
    pub broken: Cell<bool>,
    /// It broke off because what the caller sends cannot be read.
    pub unreadable: Cell<Option<Unreadable>>,
    pub end: Notify,
    /// The answer has ended before: nobody wants the rest.
    unwanted: Cell<bool>,
    /// Who waits for more of it.
    reader: RefCell<Option<Waker>>,
}

impl Progress {
    fn finish(&self) {
        if !self.ended.replace(true) {
            self.end.notify_waiters();
        }
    }

    /// The answer has ended: what is still to come of the request goes nowhere.
    pub fn answered(&self) {
        if !self.ended.get() {
            self.unwanted.set(true);
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }

    /// Waits until the whole request was received.
    pub async fn received(&self) {
        let notified = self.end.notified();
        if !self.ended.get() {
            notified.await;
        }
    }
}

/// The end of the time that a route gives to a request or an attempt. Envoy: it runs from the end of the request.
pub(super) struct Deadline(Pin<Box<dyn Future<Output = ()>>>);

impl Deadline {
    pub fn new(timeout: Duration, progress: Rc<Progress>) -> Self {
        Self(Box::pin(async move {
            progress.received().await;
            tokio::time::sleep(timeout).await;
        }))
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deadline")
    }
}

/// hyper takes a stream that was cancelled for one that has ended; a body that is cut must not pass for a whole one.
fn is_cut(body: &Incoming, version: HttpVersion) -> bool {
    version == HttpVersion::H2c && !body.is_end_stream()
}

fn is_trailers<E>(frame: &Result<Frame<Bytes>, E>) -> bool {
    frame.as_ref().is_ok_and(Frame::is_trailers)
}
