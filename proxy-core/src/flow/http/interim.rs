//! Interim answers (1xx) on their way from upstreams to callers that speak HTTP/1.1, which hyper has no way for: they are
//! written into the connection past it, where one answer has ended and the next one has not begun. hyper's own
//! "100 Continue", which it writes as soon as somebody reads a body that waits to be asked for, is held back: Istio has its
//! sidecars leave it to the upstream to say so (`proxy_100_continue`).

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use hyper::{
    HeaderMap, Request, StatusCode, Version,
    ext::ReasonPhrase,
    header,
    rt::{Read, ReadBufCursor, Write},
};

use crate::flow::{headers, reply};

/// As hyper writes it.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a caller's connection is told between two answers.
#[derive(Debug, Default)]
pub(in crate::flow) struct Interims {
    state: Mutex<State>,
    /// Something was passed on: since then the answer has begun.
    begun: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Heads that are written next.
    heads: BytesMut,
    /// Part of them is written: the rest comes before anything else.
    cut: bool,
    /// Who waits for them to be on their way.
    passing: Option<Waker>,
    /// Something of hyper's was written and is not known to be all of it.
    writing: bool,
    /// hyper's "100 Continue" comes next, if anything of its own accord.
    hushed: bool,
}

impl Interims {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins. That it is asked for its body, where it waits for that, is left to the upstream.
    pub fn begin<B>(&self, request: &Request<B>) {
        self.begun.store(false, Ordering::Relaxed);
        let mut state = self.state();
        let expects = request.headers().get(header::EXPECT);
        // Of an answer before, which is still on its way, nothing may be taken for it.
        state.hushed = !state.writing
            && request.version() == Version::HTTP_11
            && expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    }

    /// True where the caller has been told something since its request began.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Tells the caller, and waits until that is on its way.
    async fn pass(&self, Interim(status, headers): Interim) {
        self.begun.store(true, Ordering::Relaxed);
        let phrase = reply::phrase(status);
        let reason = phrase
            .as_ref()
            .map(ReasonPhrase::as_bytes)
            .or_else(|| status.canonical_reason().map(str::as_bytes));
        let mut head = format!("HTTP/1.1 {} ", status.as_u16()).into_bytes();
        head.extend(reason.unwrap_or_default());
        head.extend(b"\r\n");
        for (name, value) in &headers {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        self.state().heads.extend_from_slice(&head);
        let passing = Passing(self);
        poll_fn(|cx| {
            let mut state = passing.0.state();
            if state.heads.is_empty() {
                return Poll::Ready(());
            }
            state.passing = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Heads that somebody waits for. Who gives up, as its time is over, leaves none behind that would come after the answer.
struct Passing<'i>(&'i Interims);

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if !state.cut {
            state.heads.clear();
        }
        state.passing = None;
    }
}

/// An interim answer of an upstream.
#[derive(Debug)]
pub(super) struct Interim(StatusCode, HeaderMap);

/// The upstream's first interim answer to a request: Envoy passes no other on.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<First>);

#[derive(Debug, Default)]
struct First {
    interim: Option<Interim>,
    is_known: bool,
    /// Who waits for it.
    waiting: Option<Waker>,
}

impl Heard {
    /// Notes the first to `request` from now on.
    pub fn of<B>(request: &mut Request<B>) -> Arc<Self> {
        let heard = Arc::<Self>::default();
        let noted = heard.clone();
        hyper::ext::on_informational(request, move |response| {
            let mut first = noted.first();
            if mem::replace(&mut first.is_known, true) {
                return;
            }
            let mut lines = response.headers().clone();
            headers::strip_response(&mut lines);
            first.interim = Some(Interim(response.status(), lines));
            if let Some(waiting) = first.waiting.take() {
                waiting.wake();
            }
        });
        heard
    }

    fn first(&self) -> MutexGuard<'_, First> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first, where it is there; else who polls is woken when it is.
    fn poll_first(&self, cx: &mut Context<'_>) -> Poll<Interim> {
        let mut first = self.first();
        if let Some(interim) = first.interim.take() {
            return Poll::Ready(interim);
        }
        let waits = |waiting: &Waker| waiting.will_wake(cx.waker());
        if !first.is_known && !first.waiting.as_ref().is_some_and(waits) {
            first.waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for `answer`, and passes on to `caller` what comes before it.
    pub async fn pass_until<T>(&self, caller: &Interims, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        loop {
            let next = poll_fn(|cx| match self.poll_first(cx) {
                Poll::Ready(interim) => Poll::Ready(Err(interim)),
                Poll::Pending => answer.as_mut().poll(cx).map(Ok),
            });
            match next.await {
                Ok(answer) => return answer,
                Err(interim) => caller.pass(interim).await,
            }
        }
    }
}

/// A caller's connection, with what it is told past hyper.
#[derive(Debug)]
pub(super) struct Told<S> {
    io: S,
    interims: Arc<Interims>,
}

impl<S> Told<S> {
    /// `io`, and over it what `interims` passes on.
    pub fn new(io: S, interims: Arc<Interims>) -> Self {
        Self { io, interims }
    }

    /// True where `bytes`, which hyper writes next, begin with what is not to be said.
    fn is_hushed(&self, bytes: &[u8]) -> bool {
        let mut state = self.interims.state();
        state.writing = true;
        mem::take(&mut state.hushed) && bytes.starts_with(CONTINUE)
    }
}

impl<S: Write + Unpin> Told<S> {
    /// Writes the heads that there are, or only `the_rest` of those that were begun.
    fn poll_heads(&mut self, cx: &mut Context<'_>, the_rest: bool) -> Poll<io::Result<()>> {
        let mut state = self.interims.state();
        while !state.heads.is_empty() && (state.cut || !the_rest) {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &state.heads))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            state.heads.advance(written);
            state.cut = !state.heads.is_empty();
        }
        if state.heads.is_empty()
            && let Some(passing) = state.passing.take()
        {
            passing.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Read + Unpin> Read for Told<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: Write + Unpin> Write for Told<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_heads(cx, true))?;
        if self.is_hushed(bytes) {
            return Poll::Ready(Ok(CONTINUE.len()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_heads(cx, true))?;
        if self.is_hushed(slices.first().map_or(&[], |slice| &**slice)) {
            return Poll::Ready(Ok(CONTINUE.len()));
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper asks for it when all that it had is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_heads(cx, false))?;
        self.interims.state().writing = false;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
