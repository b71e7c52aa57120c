//! A request over HTTP/1, on a connection of its own.

use std::{
    io::{self, ErrorKind, Read, Write},
    thread,
    time::{Duration, Instant},
};

use super::{PATIENCE, Seen, Sending, body::Body, end, pause};

/// Between the pieces of a slow body.
pub const PAUSE: Duration = Duration::from_millis(400);

/// A request as it goes over the wire.
pub struct Request {
    head: String,
    body: Body,
    /// The body waits for somebody to ask for it. Source: RFC 9110, section 10.1.1.
    waits: bool,
    is_head: bool,
    /// After a switch of protocols the site says when it is over.
    until_end: bool,
    /// How long nothing passes after one.
    pause: Duration,
}

impl Request {
    /// That of a call.
    pub fn of(sending: &Sending) -> Self {
        let call = &sending.call;
        let target = if call.method == "CONNECT" {
            &call.host
        } else {
            &call.path
        };
        let version = if call.protocol == "http1.0" { "1.0" } else { "1.1" };
        let mut head = format!(
            "{} {target} HTTP/{version}\r\nhost: {}\r\n{}",
            call.method,
            call.host,
            named(sending)
        );
        for (name, value) in &call.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = Body::of(call);
        match body.size() {
            0 => {}
            _ if body.chunked => head.push_str("transfer-encoding: chunked\r\n"),
            size => head.push_str(&format!("content-length: {size}\r\n")),
        }
        let has = |name: &str, value: &str| call.headers.get(name).is_some_and(|found| found == value);
        Self {
            waits: body.size() > 0 && version == "1.1" && has("expect", "100-continue"),
            is_head: call.method == "HEAD",
            until_end: has("x-site", "switch leave"),
            pause: pause(call),
            head: format!("{head}\r\n"),
            body,
        }
    }

    /// What goes within the caller's own TLS: always the same, which no sidecar reads.
    pub fn inside(sending: &Sending) -> Self {
        Self::whole(
            &format!("GET /inside HTTP/1.1\r\nhost: inside\r\n{}", named(sending)),
            "",
        )
    }

    /// One with the lines of its head, and its body.
    pub fn whole(head: &str, body: &str) -> Self {
        let pieces = vec![body.as_bytes().to_vec()];
        Self {
            head: format!("{head}\r\n"),
            body: Body { pieces, chunked: false },
            waits: false,
            is_head: false,
            until_end: false,
            pause: Duration::ZERO,
        }
    }
}

fn named(sending: &Sending) -> String {
    format!("user-agent: deep\r\nx-call: {}\r\n", sending.name)
}

/// Sends a request and reads the response.
pub fn exchange(stream: impl Read + Write, request: &Request, seen: &mut Seen) {
    let mut exchange = Exchange {
        stream,
        bytes: Vec::new(),
        until: Instant::now() + PATIENCE,
    };
    seen.end = end(exchange.run(request, seen));
}

struct Exchange<S> {
    stream: S,
    /// Read, and not taken yet.
    bytes: Vec<u8>,
    until: Instant,
}

impl<S: Read + Write> Exchange<S> {
    fn run(&mut self, request: &Request, seen: &mut Seen) -> io::Result<()> {
        match self.send(request.head.as_bytes()) {
            // An answer may be there although nobody reads.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
        let refused = match request.waits {
            true => self.head(seen, true)?,
            false => None,
        };
        let head = match refused {
            Some(head) => head,
            None => {
                self.send_body(&request.body);
                self.answer(seen)?
            }
        };
        seen.head = head.lines().map(str::to_string).collect();
        let mut body = Vec::new();
        let read = self.body(&head, request, &mut body);
        seen.body = String::from_utf8_lossy(&body).into_owned();
        read
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush())
    }

    /// Sends a body. An answer may be there although it was cut short.
    fn send_body(&mut self, body: &Body) {
        for (number, piece) in body.pieces.iter().enumerate() {
            if number > 0 {
                thread::sleep(PAUSE);
            }
            let framed = match body.chunked {
                true => [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
                false => piece.clone(),
            };
            if self.send(&framed).is_err() {
                return;
            }
        }
        if body.chunked {
            let _ = self.send(b"0\r\n\r\n");
        }
    }

    /// The head of the answer.
    fn answer(&mut self, seen: &mut Seen) -> io::Result<String> {
        // Without being asked to stop there it never does before it.
        Ok(self.head(seen, false)?.unwrap_or_default())
    }

    /// The next head that is no interim answer; none where the body is asked for and that is waited for.
    fn head(&mut self, seen: &mut Seen, waits: bool) -> io::Result<Option<String>> {
        loop {
            let head = self.lines("\r\n\r\n")?;
            if !head.starts_with("HTTP/1.1 1") || head.starts_with("HTTP/1.1 101") {
                return Ok(Some(head));
            }
            let is_asked = head.starts_with("HTTP/1.1 100");
            seen.interim.push(head.replace("\r\n", "; "));
            if waits && is_asked {
                return Ok(None);
            }
        }
    }

    fn body(&mut self, head: &str, request: &Request, body: &mut Vec<u8>) -> io::Result<()> {
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status == "101" {
            return self.switched(request, body);
        }
        if request.is_head || matches!(status, "204" | "304") {
            return Ok(());
        }
        if header(head, "transfer-encoding") == Some("chunked") {
            loop {
                let size = self.lines("\r\n")?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                self.take(size, body)?;
                self.lines("\r\n")?;
                if size == 0 {
                    return Ok(());
                }
            }
        }
        match header(head, "content-length").and_then(|length| length.parse().ok()) {
            Some(length) => self.take(length, body),
            None => self.rest(body),
        }
    }

    /// A line there and back, after which the caller leaves.
    fn switched(&mut self, request: &Request, body: &mut Vec<u8>) -> io::Result<()> {
        const LINE: &[u8] = b"through\n";
        thread::sleep(request.pause);
        self.send(LINE)?;
        while !self.bytes.ends_with(LINE) {
            self.more()?;
        }
        match request.until_end {
            true => self.rest(body),
            false => self.take(self.bytes.len(), body),
        }
    }

    /// Everything until the other side ends.
    fn rest(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        let read = loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        body.append(&mut self.bytes);
        read
    }

    /// The next `size` bytes, or as many as come.
    fn take(&mut self, size: usize, body: &mut Vec<u8>) -> io::Result<()> {
        while self.bytes.len() < size {
            if let Err(error) = self.more() {
                body.append(&mut self.bytes);
                return Err(error);
            }
        }
        body.extend(self.bytes.drain(..size));
        Ok(())
    }

    /// What stands before the next `end`, without it.
    fn lines(&mut self, end: &str) -> io::Result<String> {
        let mut searched = 0;
        loop {
            let found = self.bytes[searched..]
                .windows(end.len())
                .position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let taken: Vec<u8> = self.bytes.drain(..searched + at + end.len()).collect();
                return Ok(String::from_utf8_lossy(&taken[..searched + at]).into_owned());
            }
            searched = self.bytes.len().saturating_sub(end.len());
            self.more()?;
        }
    }

    /// Reads on.
    fn more(&mut self) -> io::Result<()> {
        if Instant::now() > self.until {
            return Err(ErrorKind::TimedOut.into());
        }
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.bytes.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim())
}
