//! Bodies that are counted as they pass.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    vec,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::{Notify, mpsc};

use super::http::Finish;
use crate::record::Flow;

mod ahead;

/// What the caller has sent of its request.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub bytes: Cell<u64>,
    pub ended: Cell<bool>,
    pub end: Notify,
}

impl Progress {
    fn finish(&self) {
        if !self.ended.replace(true) {
            self.end.notify_waiters();
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

/// How many pieces of a body a copy may fall behind before it is given up.
const BEHIND: usize = 64;

/// How much of a body is kept for another attempt: Envoy's default, by Istio left as it is.
const KEPT: usize = 1024 * 1024;

/// A request's body as it was read, for another attempt.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pieces: RefCell<Vec<Bytes>>,
    size: Cell<usize>,
    ended: Cell<bool>,
}

impl Kept {
    /// True where all of it was read and kept: only then Envoy tries again.
    pub fn is_whole(&self) -> bool {
        self.ended.get() && self.size.get() <= KEPT
    }

    fn keep(&self, data: Option<&Bytes>, ended: bool) {
        if let Some(data) = data {
            self.size.set(self.size.get() + data.len());
            if self.size.get() <= KEPT {
                self.pieces.borrow_mut().push(data.clone());
            } else {
                self.pieces.borrow_mut().clear();
            }
        }
        self.ended.set(ended);
    }
}

/// A request's body on its way to the upstream.
#[derive(Debug)]
pub(super) struct RequestBody {
    source: Source,
    progress: Rc<Progress>,
    kept: Option<Rc<Kept>>,
    /// Copies that are sent elsewhere.
    copies: Vec<mpsc::Sender<Piece>>,
    /// What was read of the caller's body before it could be sent.
    ahead: VecDeque<Result<Frame<Bytes>, RequestBroken>>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Caller(Incoming),
    /// What an attempt before has sent.
    Again(vec::IntoIter<Bytes>),
    /// What another body was seen to send.
    Copy(mpsc::Receiver<Piece>),
}

/// What a copy sees of a body; without an end it was broken off.
#[derive(Debug)]
enum Piece {
    Data(Bytes),
    End,
}

/// Why a request's body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestBroken {
    #[error(transparent)]
    Caller(#[from] hyper::Error),
    #[error("the request that is copied was broken off")]
    Original,
}

impl RequestBody {
    pub fn new(inner: Incoming, progress: Rc<Progress>) -> Self {
        if inner.is_end_stream() {
            return Self::empty(progress);
        }
        Self {
            source: Source::Caller(inner),
            progress,
            kept: None,
            copies: Vec::new(),
            ahead: VecDeque::new(),
        }
    }

    pub fn empty(progress: Rc<Progress>) -> Self {
        progress.finish();
        Self {
            source: Source::Empty,
            progress,
            kept: None,
            copies: Vec::new(),
            ahead: VecDeque::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self.source, Source::Empty)
    }

    /// Keeps what is sent.
    pub fn keep(&mut self) -> Rc<Kept> {
        let kept = Rc::<Kept>::default();
        for frame in self.ahead.iter().flatten() {
            kept.keep(frame.data_ref(), false);
        }
        kept.ended.set(self.is_whole());
        self.kept = Some(kept.clone());
        kept
    }

    /// True where all of the caller's body was read.
    fn is_whole(&self) -> bool {
        self.progress.ended.get() && self.ahead.iter().all(Result::is_ok)
    }

    /// The same body once more.
    pub fn again(kept: &Kept, progress: Rc<Progress>) -> Self {
        let pieces = kept.pieces.borrow().clone();
        if pieces.is_empty() {
            return Self::empty(progress);
        }
        Self {
            source: Source::Again(pieces.into_iter()),
            ..Self::empty(progress)
        }
    }

    /// A copy, which sees what this one sends.
    pub fn copy(&mut self) -> Self {
        if self.is_empty() {
            return Self::empty(Rc::default());
        }
        let (pieces_tx, pieces_rx) = mpsc::channel(BEHIND);
        for data in self.ahead.iter().flatten().filter_map(Frame::data_ref) {
            // One that is too far behind already ends without its end.
            let _ = pieces_tx.try_send(Piece::Data(data.clone()));
        }
        if self.is_whole() {
            let _ = pieces_tx.try_send(Piece::End);
        }
        self.copies.push(pieces_tx);
        Self {
            source: Source::Copy(pieces_rx),
            progress: Rc::default(),
            kept: None,
            copies: Vec::new(),
            ahead: VecDeque::new(),
        }
    }

    /// Reads on, and notes what is read.
    fn poll_caller(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        let Source::Caller(inner) = &mut self.source else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *inner).poll_frame(cx));
        let ended = frame.is_none() || inner.is_end_stream();
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        if let Some(data) = data {
            self.progress.bytes.set(self.progress.bytes.get() + data.len() as u64);
        }
        let whole = ended && !matches!(frame, Some(Err(_)));
        if let Some(kept) = &self.kept {
            kept.keep(data, whole);
        }
        if !self.copies.is_empty() {
            self.show(data, whole);
        }
        if ended {
            self.progress.finish();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(RequestBroken::from)))
    }

    /// Shows the copies what was sent.
    fn show(&mut self, data: Option<&Bytes>, ended: bool) {
        self.copies.retain(|copy| {
            let data = data.is_none_or(|data| copy.try_send(Piece::Data(data.clone())).is_ok());
            data && (!ended || copy.try_send(Piece::End).is_ok())
        });
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBroken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Caller(_) => match self.ahead.pop_front() {
                Some(frame) => Poll::Ready(Some(frame)),
                None => self.poll_caller(cx),
            },
            Source::Again(pieces) => Poll::Ready(pieces.next().map(|data| Ok(Frame::data(data)))),
            Source::Copy(pieces) => Poll::Ready(match ready!(pieces.poll_recv(cx)) {
                Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Piece::End) => {
                    self.source = Source::Empty;
                    None
                }
                None => Some(Err(RequestBroken::Original)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Caller(inner) => self.ahead.is_empty() && inner.is_end_stream(),
            Source::Again(pieces) => pieces.as_slice().is_empty(),
            Source::Copy(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Caller(inner) => {
                let (rest, ahead) = (inner.size_hint(), self.ahead_size() as u64);
                let mut whole = SizeHint::default();
                whole.set_lower(rest.lower().saturating_add(ahead));
                if let Some(upper) = rest.upper() {
                    whole.set_upper(upper.saturating_add(ahead));
                }
                whole
            }
            // Framed as the request's own headers say.
            Source::Again(_) | Source::Copy(_) => SizeHint::default(),
        }
    }
}

/// A response's body on its way to the caller: ours, or the upstream's. Its end is the end of the flow.
#[derive(Debug)]
pub(super) struct ResponseBody {
    inner: Inner,
    finish: Option<Box<Finish>>,
}

#[derive(Debug)]
enum Inner {
    Own(Full<Bytes>),
    Upstream {
        body: Incoming,
        deadline: Option<Pin<Box<tokio::time::Sleep>>>,
    },
}

impl ResponseBody {
    /// The flow that ends with it.
    pub fn flow(&self) -> Option<&Flow> {
        self.finish.as_ref().map(|finish| &finish.flow)
    }

    /// A local reply.
    pub fn own(text: Bytes, finish: Box<Finish>) -> Self {
        Self {
            inner: Inner::Own(Full::new(text)),
            finish: Some(finish),
        }
    }

    /// What the upstream sends; it must end before `deadline`.
    pub fn upstream(body: Incoming, deadline: Option<tokio::time::Instant>, finish: Box<Finish>) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Self {
            inner: Inner::Upstream { body, deadline },
            finish: Some(finish),
        }
    }
}

/// Why a response's body broke off; hyper then ends the connection, so that the caller sees it too.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    #[error("the route's timeout ended the response")]
    TimedOut,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let frame = match &mut this.inner {
            Inner::Own(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
            Inner::Upstream { body, deadline } => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => frame.map(|frame| frame.map_err(Broken::from)),
                Poll::Pending => {
                    let expired = deadline
                        .as_mut()
                        .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
                    if !expired {
                        return Poll::Pending;
                    }
                    Some(Err(Broken::TimedOut))
                }
            },
        };
        if let Some(finish) = &mut this.finish {
            match &frame {
                Some(Ok(frame)) => finish.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(broken)) => finish.broken(broken),
                None => {}
            }
        }
        let ended = match (&frame, &this.inner) {
            (Some(Ok(_)), Inner::Own(body)) => body.is_end_stream(),
            (Some(Ok(_)), Inner::Upstream { body, .. }) => body.is_end_stream(),
            (Some(Err(_)) | None, _) => true,
        };
        if ended && let Some(finish) = this.finish.take() {
            finish.complete();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Own(body) => body.is_end_stream(),
            Inner::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Own(body) => body.size_hint(),
            Inner::Upstream { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let ended = self.is_end_stream();
        if let Some(mut finish) = self.finish.take() {
            if !ended {
                finish.left();
            }
            finish.complete();
        }
    }
}
