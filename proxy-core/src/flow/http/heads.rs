//! The heads of HTTP/1.1 requests, looked at before hyper reads them. hyper makes something of what Envoy's parser refuses
//! (two lengths, an encoding beside a length, methods of one's own), and answers by itself what neither takes. Here each
//! head that Envoy refuses becomes a request which hyper takes and which [`refused`] tells from all others, so that it is
//! answered in its turn and recorded like any other. What is refused, and with which words, was seen of Envoy 1.40.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use hyper::{Method, Request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use chunks::Chunks;
pub(super) use rules::contradicts_itself;
use rules::{MAX_HEAD, head};

mod chunks;
#[cfg(any(test, fuzzing))]
pub(super) mod pieces;
mod rules;

/// Why a head is no request to Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Malformed,
    Characters,
    Url,
    Scheme,
    Authority,
    Connection,
    LengthAndChunked,
    Encoding,
    TooLarge,
    TooManyLines,
    Version,
}

impl Refused {
    const ALL: [Self; 11] = [
        Self::Malformed,
        Self::Characters,
        Self::Url,
        Self::Scheme,
        Self::Authority,
        Self::Connection,
        Self::LengthAndChunked,
        Self::Encoding,
        Self::TooLarge,
        Self::TooManyLines,
        Self::Version,
    ];

    /// Status, details and words of Envoy's answer.
    pub fn answer(self) -> (u16, &'static str, &'static str) {
        let bad = |details| (400, details, "Bad Request");
        let large = |details| (431, details, "Request Header Fields Too Large");
        match self {
            Self::Malformed => bad("http1.codec_error"),
            Self::Characters => bad("http1.invalid_characters"),
            Self::Url => bad("http1.invalid_url"),
            Self::Scheme => bad("http1.invalid_scheme"),
            Self::Authority => bad("http.invalid_authority"),
            Self::Connection => bad("http1.connection_header_rejected"),
            Self::LengthAndChunked => bad("http1.content_length_and_chunked_not_allowed"),
            Self::Encoding => (501, "http1.invalid_transfer_encoding", "Not Implemented"),
            Self::TooLarge => large("http1.headers_too_large"),
            Self::TooManyLines => large("http1.too_many_headers"),
            Self::Version => (426, "low_version", "Upgrade Required"),
        }
    }

    /// A request in its place. Nobody can send it: such a target is refused of every method but CONNECT.
    fn stand_in(self) -> String {
        format!("GET {STAND_IN}:{} HTTP/1.1\r\nconnection: close\r\n\r\n", self as u16)
    }
}

const STAND_IN: &str = "refused";

/// Why the caller's head was refused, where `request` stands for one.
pub(super) fn refused<B>(request: &Request<B>) -> Option<Refused> {
    let uri = request.uri();
    if request.method() != Method::GET || uri.scheme().is_some() {
        return None;
    }
    let authority = uri.authority().filter(|authority| authority.host() == STAND_IN)?;
    Refused::ALL.get(usize::from(authority.port_u16()?)).copied()
}

/// A caller's connection whose heads are looked at as they are read.
#[derive(Debug)]
pub(super) struct Heads<S> {
    io: S,
    next: Next,
    /// The beginning of a head.
    begun: BytesMut,
    /// What is given on before anything else is read.
    ready: BytesMut,
}

/// What comes next of a caller.
#[derive(Debug)]
enum Next {
    Head,
    /// So much of a body.
    Body(u64),
    Chunks(Chunks),
    /// What is not looked at: nothing asks for that, or it is no HTTP any more.
    Anything,
    /// Nothing that anybody wants.
    Nothing,
}

impl<S> Heads<S> {
    /// The heads of what comes from `io`; where policy is only watched all of them are let through.
    pub fn new(io: S, observes: bool) -> Self {
        Self {
            io,
            next: if observes { Next::Anything } else { Next::Head },
            begun: BytesMut::new(),
            ready: BytesMut::new(),
        }
    }

    /// How many of `bytes` may be passed on, and why what follows them may not. What is left is the beginning of a head.
    fn look(&mut self, bytes: &[u8]) -> (usize, Option<Refused>) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.next {
                Next::Head => match head(&rest[..rest.len().min(MAX_HEAD)]) {
                    Ok(Some((length, next))) => {
                        at += length;
                        self.next = next;
                    }
                    Ok(None) if rest.len() > MAX_HEAD => return (at, Some(Refused::TooLarge)),
                    Ok(None) => return (at, None),
                    Err(refused) => return (at, Some(refused)),
                },
                Next::Body(left) => {
                    let length = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    at += length;
                    *left -= length as u64;
                    if *left == 0 {
                        self.next = Next::Head;
                    }
                }
                Next::Chunks(chunks) => match chunks.read(rest) {
                    Some(length) => {
                        at += length;
                        self.next = Next::Head;
                    }
                    None => at = bytes.len(),
                },
                Next::Anything => at = bytes.len(),
                Next::Nothing => return (at, None),
            }
        }
        (at, None)
    }

    /// Looks at what was read behind the beginning of a head.
    fn look_at_begun(&mut self, before: usize) {
        // What may be the end of a head begins with the last bytes of before.
        let fresh = &self.begun[before.saturating_sub(3)..];
        let ends = fresh.windows(2).any(|pair| pair == b"\n\n") || fresh.windows(3).any(|three| three == b"\n\r\n");
        if !ends && self.begun.len() <= MAX_HEAD {
            return;
        }
        self.pass_begun();
    }

    /// The caller has left: of the beginning of a head comes no more.
    fn end_begun(&mut self) {
        self.pass_begun();
        self.ready.unsplit(self.begun.split());
    }

    /// Passes on what may be of the beginning of a head and what came behind it.
    fn pass_begun(&mut self) {
        let mut bytes = std::mem::take(&mut self.begun);
        let (passed, refused) = self.look(&bytes);
        self.ready.unsplit(bytes.split_to(passed));
        self.keep(&bytes, refused);
    }

    /// Keeps the beginning of a head; of one that is refused a stand-in is passed on.
    fn keep(&mut self, rest: &[u8], refused: Option<Refused>) {
        match refused {
            Some(refused) => {
                self.ready.extend_from_slice(refused.stand_in().as_bytes());
                self.next = Next::Nothing;
            }
            None => self.begun.extend_from_slice(rest),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while buffer.remaining() > 0 {
            if !this.ready.is_empty() {
                let length = this.ready.len().min(buffer.remaining());
                buffer.put_slice(&this.ready.split_to(length));
                break;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
            let read = &buffer.filled()[before..];
            match this.next {
                // The caller has left, perhaps in the middle of a head.
                _ if read.is_empty() && this.begun.is_empty() => break,
                _ if read.is_empty() => this.end_begun(),
                // Read all the same, to see its end.
                Next::Nothing => buffer.set_filled(before),
                Next::Head if !this.begun.is_empty() => {
                    let begun = this.begun.len();
                    this.begun.extend_from_slice(read);
                    buffer.set_filled(before);
                    this.look_at_begun(begun);
                }
                _ => {
                    let (passed, refused) = this.look(read);
                    this.keep(&read[passed..], refused);
                    buffer.set_filled(before + passed);
                    if passed > 0 {
                        break;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
