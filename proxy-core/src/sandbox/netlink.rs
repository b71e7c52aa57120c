//! Netlink: messages made of attributes, and a socket that sends them. Source: netlink(7).

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt, socket,
        sockopt,
    },
    time::{TimeVal, TimeValLike},
};

/// A request.
const REQUEST: u16 = 0x1;
/// An answer is wanted, of success too.
pub const ACK: u16 = 0x4;
/// Only where it is not there yet.
pub const EXCLUSIVE: u16 = 0x200;
/// Create what is not there.
pub const CREATE: u16 = 0x400;
/// Put it behind the others.
pub const APPEND: u16 = 0x800;
/// All that there are.
const DUMP: u16 = 0x300;
/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
/// Behind the header of an answer: the error's number.
const ANSWER: usize = HEADER + 4;

/// The kernel answers at once; where it does not, something is in between that is no kernel.
const PATIENCE_SECONDS: i64 = 5;

/// Appends a message. The kernel's answer, if any, carries its number.
pub fn message(buffer: &mut Vec<u8>, kind: u16, flags: u16, number: u32, body: &[u8]) {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    buffer.extend(length.to_ne_bytes());
    buffer.extend(kind.to_ne_bytes());
    buffer.extend((REQUEST | flags).to_ne_bytes());
    buffer.extend(number.to_ne_bytes());
    // To the kernel.
    buffer.extend(0u32.to_ne_bytes());
    buffer.extend(body);
    pad(buffer);
}

/// Appends an attribute.
pub fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    pad(body);
}

/// Appends an attribute that holds attributes.
pub fn nested(body: &mut Vec<u8>, kind: u16, inside: &[u8]) {
    attribute(body, kind | NESTED, inside);
}

/// Attributes one behind another, as the kernel lists them: kind and value.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !NESTED, value))
    })
}

/// The value of the first attribute of this kind; empty where there is none.
pub fn value(list: &[u8], kind: u16) -> &[u8] {
    let mut found = attributes(list).filter(|(this, _)| *this == kind);
    found.next().map(|(_, value)| value).unwrap_or_default()
}

fn pad(buffer: &mut Vec<u8>) {
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}

/// A way to one of the kernel's subsystems.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

impl Netlink {
    /// Opens a socket of `protocol`.
    pub fn open(protocol: SockProtocol) -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
        Ok(Self(socket))
    }

    /// Sends messages that belong together, and waits for the answer to number `last` or for the first that says no.
    pub fn send(&self, messages: &[u8], last: u32) -> io::Result<()> {
        // They must fit into the buffer as a whole. Any user may have some more of it, and root as much as it takes; where
        // it stays too small the kernel says that the message is too long.
        let room = 2 * messages.len();
        let _ = setsockopt(&self.0, sockopt::SndBuf, &room);
        let _ = setsockopt(&self.0, sockopt::SndBufForce, &room);
        sendto(self.0.as_raw_fd(), messages, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = &buffer[..length];
            while let Some(answer) = Answer::read(rest) {
                match answer.error {
                    0 if answer.number == last => return Ok(()),
                    0 => {}
                    code => return Err(io::Error::from_raw_os_error(-code)),
                }
                rest = rest.get(answer.length..).unwrap_or_default();
            }
        }
    }

    /// All that the kernel lists when it is asked with this message: what stands behind each header.
    pub fn list(&self, kind: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut question = Vec::new();
        message(&mut question, kind, DUMP, 0, body);
        sendto(
            self.0.as_raw_fd(),
            &question,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        )?;
        let (mut listed, mut buffer) = (Vec::new(), vec![0; 32 * 1024]);
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = &buffer[..length];
            while let Some((kind, length)) = header(rest) {
                match kind {
                    NLMSG_DONE => return Ok(listed),
                    NLMSG_ERROR => {
                        let code = Answer::read(rest).map_or(0, |answer| answer.error);
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                    _ => listed.push(rest.get(HEADER..length).unwrap_or_default().to_vec()),
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// Kind and length of the first message in `bytes`; `None` where they hold none.
fn header(bytes: &[u8]) -> Option<(u16, usize)> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?);
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    Some((kind, usize::try_from(length).ok()?.max(HEADER)))
}

/// What the kernel says of a message.
struct Answer {
    number: u32,
    error: i32,
    length: usize,
}

impl Answer {
    /// The first answer in `bytes`; `None` where they hold none, since nothing else was asked for.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (kind, length) = header(bytes)?;
        (kind == NLMSG_ERROR).then_some(())?;
        Some(Self {
            number: u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?),
            error: i32::from_ne_bytes(bytes.get(HEADER..ANSWER)?.try_into().ok()?),
            length: length.next_multiple_of(4).max(ANSWER),
        })
    }
}
