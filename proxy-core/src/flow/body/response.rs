//! A response's body, whose end is the end of its flow.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{Deadline, is_cut, is_trailers, overdue::Overdue, web};
use crate::{
    flow::{http::Finish, reset::Reset},
    policy::HttpVersion,
    record::Flow,
};

/// Of an answer that is longer than this the time is watched over also while its caller takes nothing. Envoy takes in as much
/// before it waits for its caller, so that a shorter one is over for it.
const LONG: u64 = 1024 * 1024;

/// A response's body on its way to the caller: ours, or the upstream's. Its end is the end of the flow.
#[derive(Debug)]
pub(in crate::flow) struct ResponseBody {
    inner: Inner,
    /// What the caller speaks. Trailers are passed on in HTTP/2 only, as Envoy does.
    caller: HttpVersion,
    finish: Option<Box<Finish>>,
    /// How it broke off, until what came before is on its way.
    held: Option<Broken>,
    /// What becomes of it, where the caller speaks gRPC-Web.
    web: Option<Box<web::Answer>>,
}

#[derive(Debug)]
enum Inner {
    Own(Full<Bytes>),
    Upstream {
        body: Incoming,
        version: HttpVersion,
        deadline: Option<Deadline>,
        /// The same of a long one.
        overdue: Option<Overdue>,
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
            held: None,
            web: None,
        }
    }

    /// What the upstream sends in `version`; it must end before `deadline`.
    pub fn upstream(body: Incoming, version: HttpVersion, deadline: Option<Deadline>, finish: Box<Finish>) -> Self {
        Self {
            inner: Inner::Upstream {
                body,
                version,
                deadline,
                overdue: None,
            },
            caller: finish.version,
            finish: Some(finish),
            held: None,
            web: None,
        }
    }

    /// What is one of gRPC as one of gRPC-Web, in base64 where that is wanted as `text`.
    pub fn into_web(mut self, text: bool) -> Self {
        self.web = Some(Box::new(match text {
            true => web::Answer::Text(web::Text::default()),
            false => web::Answer::Binary,
        }));
        self
    }

    /// Reads it to its end, of which the flow makes nothing: the beginning of what it says, and what is left of it. Where it
    /// breaks off before, why, and the flow, which goes on.
    pub async fn words(mut self) -> Result<(Bytes, Self), (Broken, Box<Finish>)> {
        let Some(finish) = self.finish.take() else {
            return Ok((Bytes::new(), self));
        };
        self.web = Some(Box::new(web::Answer::Words(BytesMut::new())));
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            if let Err(broken) = frame {
                return Err((broken, finish));
            }
        }
        finish.complete();
        let words = match self.web.take().map(|web| *web) {
            Some(web::Answer::Words(words)) => words.freeze(),
            _ => Bytes::new(),
        };
        Ok((words, self))
    }
}

/// Why a response's body broke off; hyper then ends the connection or the stream, so that the caller sees it too. It holds
/// no error of HTTP/2's: callers are told of an internal one, whatever the upstream's reason was, as Envoy does.
#[derive(Debug, thiserror::Error)]
pub(in crate::flow) enum Broken {
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
        let was_held = this.held.is_some();
        let frame = match &mut this.inner {
            _ if this.held.is_some() => this.held.take().map(Err),
            Inner::Own(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
            Inner::Upstream {
                overdue: Some(overdue), ..
            } if overdue.is_over() => Some(Err(Broken::TimedOut)),
            Inner::Upstream {
                body,
                version,
                deadline,
                overdue,
            } => match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(None) if is_cut(body, *version) => Some(Err(Broken::Upstream(Reset::Remote))),
                Poll::Ready(frame) => {
                    frame.map(|frame| frame.map_err(|error| Broken::Upstream(Reset::of_body(&error, *version))))
                }
                Poll::Pending => {
                    let over = match overdue {
                        Some(overdue) => overdue.poll(cx),
                        None => deadline
                            .as_mut()
                            .map_or(Poll::Pending, |deadline| Pin::new(deadline).poll(cx)),
                    };
                    if over.is_pending() {
                        return Poll::Pending;
                    }
                    Some(Err(Broken::TimedOut))
                }
            },
        };
        // Who ends with an error forgets what it has not sent yet: the connection, which has it, comes first.
        let frame = match frame {
            Some(Err(broken)) if !was_held => {
                this.held = Some(broken);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            frame => frame,
        };
        let trailed = matches!(&this.inner, Inner::Upstream { version, .. } if *version == HttpVersion::H2c);
        let frame = match (&mut this.web, frame) {
            (Some(web), Some(Ok(frame))) if trailed || !frame.is_trailers() => Some(Ok(web.make(frame))),
            (_, frame) => frame,
        };
        if let Some(finish) = &mut this.finish {
            match &frame {
                Some(Ok(frame)) => finish.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(broken)) => finish.broken(broken),
                None => {}
            }
            if let Inner::Upstream { deadline, overdue, .. } = &mut this.inner
                && finish.flow.sent > LONG
                && let Some(deadline) = deadline.take()
            {
                *overdue = Some(Overdue::watch(deadline, finish.ends.clone()));
            }
        }
        let carries = match &this.inner {
            Inner::Upstream { .. } => trailed && this.caller == HttpVersion::H2c,
            Inner::Own(_) => true,
        };
        let frame = frame.filter(|frame| carries || !is_trailers(frame));
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
            _ if self.web.is_some() => SizeHint::default(),
            Inner::Own(body) => body.size_hint(),
            Inner::Upstream { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let ended = self.is_end_stream();
        let is_over = matches!(&self.inner, Inner::Upstream { overdue: Some(overdue), .. } if overdue.is_over());
        if let Some(mut finish) = self.finish.take() {
            // hyper drops the body of an answer that has none, in HTTP/1.1.
            let without = finish.version == HttpVersion::Http11 && finish.answers_without_body();
            match ended || without {
                true => {}
                false if is_over => finish.broken(&Broken::TimedOut),
                false => finish.left(),
            }
            finish.complete();
        }
    }
}
