//! Bodies that are counted as they pass.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    vec,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
};
use tokio::sync::{Notify, mpsc};

use super::{http::Finish, reset::Reset};
use crate::{policy::HttpVersion, record::Flow};

/// What the caller has sent of its request.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub bytes: Cell<u64>,
    pub ended: Cell<bool>,
    /// The caller broke its stream off.
    pub broken: Cell<bool>,
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

/// A request's body as it was sent, for another attempt.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pieces: RefCell<Vec<Bytes>>,
    trailers: RefCell<Option<HeaderMap>>,
    size: Cell<usize>,
    ended: Cell<bool>,
}

impl Kept {
    /// True where all of it was sent and kept: only then Envoy tries again.
    pub fn is_whole(&self) -> bool {
        self.ended.get() && self.size.get() <= KEPT
    }

    fn keep(&self, frame: Option<&Frame<Bytes>>, ended: bool) {
        if let Some(trailers) = frame.and_then(Frame::trailers_ref) {
            *self.trailers.borrow_mut() = Some(trailers.clone());
        }
        if let Some(data) = frame.and_then(Frame::data_ref) {
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
    /// Trailers are sent. Envoy: in HTTP/2 only, and not those of a caller that speaks HTTP/1.1.
    trailers: bool,
    /// Copies that are sent elsewhere.
    copies: Vec<mpsc::Sender<Piece>>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Caller {
        body: Incoming,
        version: HttpVersion,
    },
    /// What an attempt before has sent.
    Again(vec::IntoIter<Bytes>, Option<HeaderMap>),
    /// What another body was seen to send.
    Copy(mpsc::Receiver<Piece>),
}

/// What a copy sees of a body; without an end it was broken off.
#[derive(Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// hyper takes a stream that was cancelled for one that has ended; a body that is cut must not pass for a whole one.
fn is_cut(body: &Incoming, version: HttpVersion) -> bool {
    version == HttpVersion::H2c && !body.is_end_stream()
}

fn is_trailers<E>(frame: &Result<Frame<Bytes>, E>) -> bool {
    frame.as_ref().is_ok_and(Frame::is_trailers)
}

/// Why a request's body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestBroken {
    #[error(transparent)]
    Caller(#[from] hyper::Error),
    #[error("the caller broke the stream off")]
    Stream,
    #[error("the request that is copied was broken off")]
    Original,
}

impl RequestBody {
    pub fn new(body: Incoming, version: HttpVersion, progress: Rc<Progress>) -> Self {
        if body.is_end_stream() {
            return Self::empty(progress);
        }
        Self {
            source: Source::Caller { body, version },
            ..Self::nothing(progress)
        }
    }

    pub fn empty(progress: Rc<Progress>) -> Self {
        progress.finish();
        Self::nothing(progress)
    }

    fn nothing(progress: Rc<Progress>) -> Self {
        Self {
            source: Source::Empty,
            progress,
            kept: None,
            trailers: false,
            copies: Vec::new(),
        }
    }

    /// It goes to an upstream that speaks HTTP/2: what a caller that does so too says behind it is passed on.
    pub fn carry_trailers(&mut self, caller: HttpVersion) {
        self.trailers = caller == HttpVersion::H2c;
    }

    pub fn is_empty(&self) -> bool {
        matches!(self.source, Source::Empty)
    }

    /// Keeps what is sent from now on.
    pub fn keep(&mut self) -> Rc<Kept> {
        let kept = Rc::<Kept>::default();
        self.kept = Some(kept.clone());
        kept
    }

    /// The same body once more.
    pub fn again(kept: &Kept, progress: Rc<Progress>) -> Self {
        let pieces = kept.pieces.borrow().clone();
        let trailers = kept.trailers.borrow().clone();
        if pieces.is_empty() && trailers.is_none() {
            return Self::empty(progress);
        }
        Self {
            source: Source::Again(pieces.into_iter(), trailers),
            ..Self::empty(progress)
        }
    }

    /// A copy, which sees what this one sends from now on.
    pub fn copy(&mut self) -> Self {
        if self.is_empty() {
            return Self::empty(Rc::default());
        }
        let (pieces_tx, pieces_rx) = mpsc::channel(BEHIND);
        self.copies.push(pieces_tx);
        Self {
            source: Source::Copy(pieces_rx),
            ..Self::nothing(Rc::default())
        }
    }

    /// Shows the copies what was sent.
    fn show(&mut self, frame: Option<&Frame<Bytes>>, ended: bool) {
        let data = frame.and_then(Frame::data_ref);
        let trailers = frame.and_then(Frame::trailers_ref);
        self.copies.retain(|copy| {
            let keeps_up = |piece: Option<Piece>| piece.is_none_or(|piece| copy.try_send(piece).is_ok());
            keeps_up(data.cloned().map(Piece::Data))
                && keeps_up(trailers.cloned().map(Piece::Trailers))
                && keeps_up(ended.then_some(Piece::End))
        });
    }

    /// The next frame, also one that is not sent.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        let (body, version) = match &mut self.source {
            Source::Empty => return Poll::Ready(None),
            Source::Caller { body, version } => (body, *version),
            Source::Again(pieces, trailers) => {
                let data = pieces.next().map(Frame::data);
                return Poll::Ready(data.or_else(|| trailers.take().map(Frame::trailers)).map(Ok));
            }
            Source::Copy(pieces) => {
                let piece = ready!(pieces.poll_recv(cx));
                return Poll::Ready(match piece {
                    Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
                    Some(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                    Some(Piece::End) => {
                        self.source = Source::Empty;
                        None
                    }
                    None => Some(Err(RequestBroken::Original)),
                });
            }
        };
        let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None if is_cut(body, version) => Some(Err(RequestBroken::Stream)),
            frame => frame.map(|frame| frame.map_err(RequestBroken::from)),
        };
        let broken = matches!(frame, Some(Err(_)));
        let ended = frame.is_none() || body.is_end_stream();
        let sent = frame.as_ref().and_then(|frame| frame.as_ref().ok());
        if let Some(data) = sent.and_then(Frame::data_ref) {
            self.progress.bytes.set(self.progress.bytes.get() + data.len() as u64);
        }
        if broken && version == HttpVersion::H2c {
            self.progress.broken.set(true);
        }
        let whole = ended && !broken;
        if let Some(kept) = &self.kept {
            kept.keep(sent, whole);
        }
        if !self.copies.is_empty() {
            self.show(sent, whole);
        }
        if ended {
            self.progress.finish();
        }
        Poll::Ready(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBroken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        let frame = ready!(self.next(cx));
        Poll::Ready(frame.filter(|frame| self.trailers || !is_trailers(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Caller { body, .. } => body.is_end_stream(),
            Source::Again(pieces, trailers) => pieces.as_slice().is_empty() && !(self.trailers && trailers.is_some()),
            Source::Copy(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Caller { body, .. } => body.size_hint(),
            // Framed as the request's own headers say.
            Source::Again(..) | Source::Copy(_) => SizeHint::default(),
        }
    }
}

/// A response's body on its way to the caller: ours, or the upstream's. Its end is the end of the flow.
#[derive(Debug)]
pub(super) struct ResponseBody {
    inner: Inner,
    /// What the caller speaks. Trailers are passed on in HTTP/2 only, as Envoy does.
    caller: HttpVersion,
    finish: Option<Box<Finish>>,
}

#[derive(Debug)]
enum Inner {
    Own(Full<Bytes>),
    Upstream {
        body: Incoming,
        version: HttpVersion,
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
            caller: finish.version,
            finish: Some(finish),
        }
    }

    /// What the upstream sends in `version`; it must end before `deadline`.
    pub fn upstream(
        body: Incoming,
        version: HttpVersion,
        deadline: Option<tokio::time::Instant>,
        finish: Box<Finish>,
    ) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Self {
            inner: Inner::Upstream {
                body,
                version,
                deadline,
            },
            caller: finish.version,
            finish: Some(finish),
        }
    }
}

/// Why a response's body broke off; hyper then ends the connection or the stream, so that the caller sees it too. It holds
/// no error of HTTP/2's: callers are told of an internal one, whatever the upstream's reason was, as Envoy does.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{}", .0.words())]
    Upstream(Reset),
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
            Inner::Upstream {
                body,
                version,
                deadline,
            } => match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(None) if is_cut(body, *version) => Some(Err(Broken::Upstream(Reset::Remote))),
                Poll::Ready(frame) => frame.map(|frame| frame.map_err(|error| Broken::Upstream(Reset::of(&error)))),
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
        let carries = match &this.inner {
            Inner::Upstream { version, .. } => *version == HttpVersion::H2c && this.caller == HttpVersion::H2c,
            Inner::Own(_) => true,
        };
        if ended && let Some(finish) = this.finish.take() {
            finish.complete();
        }
        Poll::Ready(frame.filter(|frame| carries || !is_trailers(frame)))
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
