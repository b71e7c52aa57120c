//! A request's body: counted, kept for another attempt, and shown to copies.

use std::{
    error::Error,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
    vec,
};

use bytes::Bytes;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
};
use tokio::sync::mpsc;

use super::{Progress, is_cut, is_trailers, web::Base64};
use crate::policy::HttpVersion;

mod ahead;
mod kept;

use ahead::Ahead;
pub(in crate::flow) use kept::Kept;

/// How many pieces of a body a copy may fall behind before it is given up.
const BEHIND: usize = 64;

/// A request's body on its way to the upstream.
#[derive(Debug)]
pub(in crate::flow) struct RequestBody {
    source: Source,
    progress: Rc<Progress>,
    /// What is sent, for as long as somebody may want it once more.
    kept: Weak<Kept>,
    /// It is sent in HTTP/2, whose streams end without a length.
    streamed: bool,
    /// Trailers are sent. Envoy: in HTTP/2 only, and not those of a caller that speaks HTTP/1.1.
    trailers: bool,
    /// Copies that are sent elsewhere.
    copies: Vec<mpsc::Sender<Piece>>,
    /// What was read of the caller's body before it could be sent.
    ahead: Ahead,
    /// It is sent without a length: what is sent is not what the caller sends.
    reframed: bool,
    /// The caller sends it in base64.
    base64: Option<Base64>,
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

impl Piece {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().cloned().map(Self::Data);
        data.or_else(|| frame.trailers_ref().cloned().map(Self::Trailers))
    }
}

/// Why a request's body broke off.
#[derive(Debug, thiserror::Error)]
pub(in crate::flow) enum RequestBroken {
    #[error(transparent)]
    Caller(#[from] hyper::Error),
    #[error("the caller broke the stream off")]
    Stream,
    #[error("the request that is copied was broken off")]
    Original,
    #[error("the answer ended before the request")]
    Answered,
    #[error("the caller sent what cannot be read: {0:?}")]
    Unreadable(Unreadable),
}

impl From<Unreadable> for RequestBroken {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

/// What a caller sent in the place of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flow) enum Unreadable {
    /// No chunks, where there should be some.
    Framing,
    /// Base64 that ends within a group of four characters.
    Base64Size,
    /// What is no base64.
    Base64,
}

impl RequestBroken {
    /// What the caller sent instead of a body, where it did not just leave.
    fn unreadable(&self) -> Option<Unreadable> {
        let error = match self {
            Self::Caller(error) => error,
            Self::Unreadable(unreadable) => return Some(*unreadable),
            _ => return None,
        };
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        let is_framing =
            |cause: &io::Error| matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
        cause.is_some_and(is_framing).then_some(Unreadable::Framing)
    }
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
            kept: Weak::new(),
            streamed: false,
            trailers: false,
            copies: Vec::new(),
            ahead: Ahead::default(),
            reframed: false,
            base64: None,
        }
    }

    /// It is sent without a length, as gRPC's are; what the caller sends in base64 is read.
    pub fn reframe(&mut self, base64: bool) {
        self.reframed = true;
        self.base64 = base64.then(Base64::default);
    }

    /// It goes to an upstream that speaks HTTP/2: what a caller that does so too says behind it is passed on.
    pub fn stream(&mut self, caller: HttpVersion) {
        self.streamed = true;
        self.trailers = caller == HttpVersion::H2c;
    }

    pub fn is_empty(&self) -> bool {
        matches!(self.source, Source::Empty)
    }

    /// What is known of it while another one sends it.
    pub fn progress(&self) -> Rc<Progress> {
        self.progress.clone()
    }

    /// Keeps what is sent, until what is given back is dropped.
    pub fn keep(&mut self) -> Rc<Kept> {
        let kept = Rc::<Kept>::default();
        for frame in self.ahead.frames() {
            kept.keep(Some(frame), false);
        }
        kept.set_ended(self.is_whole());
        self.kept = Rc::downgrade(&kept);
        kept
    }

    /// True where all of the caller's body was read.
    fn is_whole(&self) -> bool {
        self.progress.ended.get() && !self.progress.broken.get()
    }

    /// The same body once more.
    pub fn again(kept: &Kept, progress: Rc<Progress>) -> Self {
        let (pieces, trailers) = (kept.pieces(), kept.trailers());
        if pieces.is_empty() && trailers.is_none() {
            return Self::empty(progress);
        }
        Self {
            source: Source::Again(pieces.into_iter(), trailers),
            ..Self::empty(progress)
        }
    }

    /// A copy, which sees what this one sends.
    pub fn copy(&mut self) -> Self {
        if self.is_empty() {
            return Self::empty(Rc::default());
        }
        let (pieces_tx, pieces_rx) = mpsc::channel(BEHIND);
        for piece in self.ahead.frames().filter_map(Piece::of) {
            // One that is too far behind already ends without its end.
            let _ = pieces_tx.try_send(piece);
        }
        if self.is_whole() {
            let _ = pieces_tx.try_send(Piece::End);
        }
        self.copies.push(pieces_tx);
        Self {
            source: Source::Copy(pieces_rx),
            ..Self::nothing(Rc::default())
        }
    }

    /// Reads on, and notes what is read.
    fn poll_caller(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        let Source::Caller { body, version } = &mut self.source else {
            return Poll::Ready(None);
        };
        if self.progress.unwanted.get() {
            return Poll::Ready(Some(Err(RequestBroken::Answered)));
        }
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
            self.progress.reader.replace(Some(cx.waker().clone()));
            return Poll::Pending;
        };
        let frame = match frame {
            None if is_cut(body, *version) => Some(Err(RequestBroken::Stream)),
            frame => frame.map(|frame| frame.map_err(RequestBroken::from)),
        };
        // Behind trailers there is nothing, but HTTP/1.1's body does not say so of itself.
        let trailed = frame.as_ref().is_some_and(is_trailers);
        let last = trailed || frame.is_none() || body.is_end_stream();
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        let size = data.map_or(0, |data| data.len() as u64);
        self.progress.bytes.set(self.progress.bytes.get() + size);
        let frame = match &mut self.base64 {
            Some(base64) => base64.read(frame, last),
            None => frame,
        };
        if let Some(Err(error)) = &frame {
            self.progress.broken.set(true);
            self.progress.unreadable.set(error.unreadable());
        }
        // A body that broke off says so for ever, or, in HTTP/1.1, once and then that it has ended.
        let broken = self.progress.broken.get();
        let ended = broken || last;
        let read = frame.as_ref().and_then(|frame| frame.as_ref().ok());
        let whole = ended && !broken;
        if let Some(kept) = self.kept.upgrade() {
            kept.keep(read, whole);
        }
        if !self.copies.is_empty() {
            self.show(read, whole);
        }
        if ended {
            self.progress.finish();
        }
        Poll::Ready(frame)
    }

    /// Shows the copies what was sent.
    fn show(&mut self, frame: Option<&Frame<Bytes>>, ended: bool) {
        self.copies.retain(|copy| {
            let keeps_up = |piece: Option<Piece>| piece.is_none_or(|piece| copy.try_send(piece).is_ok());
            keeps_up(frame.and_then(Piece::of)) && keeps_up(ended.then_some(Piece::End))
        });
    }

    /// The next frame, also one that is not sent.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Caller { .. } => match self.ahead.pop() {
                Some(frame) => Poll::Ready(Some(frame)),
                None => self.poll_caller(cx),
            },
            Source::Again(pieces, trailers) => {
                let data = pieces.next().map(Frame::data);
                Poll::Ready(data.or_else(|| trailers.take().map(Frame::trailers)).map(Ok))
            }
            Source::Copy(pieces) => Poll::Ready(match ready!(pieces.poll_recv(cx)) {
                Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Some(Piece::End) => {
                    self.source = Source::Empty;
                    None
                }
                None => {
                    self.progress.broken.set(true);
                    Some(Err(RequestBroken::Original))
                }
            }),
        }
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
            Source::Caller { body, .. } => self.ahead.is_empty() && body.is_end_stream(),
            Source::Again(pieces, trailers) => pieces.as_slice().is_empty() && !(self.trailers && trailers.is_some()),
            Source::Copy(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty if self.streamed => SizeHint::default(),
            Source::Caller { .. } if self.reframed => SizeHint::default(),
            Source::Empty => SizeHint::with_exact(0),
            Source::Caller { body, .. } => {
                let (rest, ahead) = (body.size_hint(), self.ahead.size() as u64);
                let mut whole = SizeHint::default();
                whole.set_lower(rest.lower().saturating_add(ahead));
                if let Some(upper) = rest.upper() {
                    whole.set_upper(upper.saturating_add(ahead));
                }
                whole
            }
            // Framed as the request's own headers say.
            Source::Again(..) | Source::Copy(_) => SizeHint::default(),
        }
    }
}
