//! Bodies that are counted as they pass.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

use super::http::Finish;

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

/// A request's body on its way to the upstream.
#[derive(Debug)]
pub(super) struct RequestBody {
    inner: Option<Incoming>,
    progress: Rc<Progress>,
}

impl RequestBody {
    pub fn new(inner: Incoming, progress: Rc<Progress>) -> Self {
        let inner = (!inner.is_end_stream()).then_some(inner);
        if inner.is_none() {
            progress.finish();
        }
        Self { inner, progress }
    }

    pub fn empty(progress: Rc<Progress>) -> Self {
        progress.finish();
        Self { inner: None, progress }
    }

    pub fn is_empty(&self) -> bool {
        self.inner.is_none()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        let ended = frame.is_none() || self.inner.as_ref().is_some_and(Body::is_end_stream);
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.progress.bytes.set(self.progress.bytes.get() + data.len() as u64);
        }
        if ended {
            self.progress.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
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
