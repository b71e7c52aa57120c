//! ClientHello.

use super::Sniffed;

const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;

/// Reads a ClientHello that may be spread over several records.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    let mut handshake = Vec::new();
    let mut rest = bytes;
    loop {
        if let Some(found) = client_hello(&handshake) {
            return found;
        }
        // A record: type, version (major 3), length, payload of at most 2^14 + 256 bytes.
        match rest {
            [HANDSHAKE, 3, _, high, low, payload @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > 16_640 {
                    return Sniffed::Other;
                }
                if payload.len() < length {
                    handshake.extend_from_slice(payload);
                    return client_hello(&handshake).unwrap_or(Sniffed::NeedMore);
                }
                handshake.extend_from_slice(&payload[..length]);
                rest = &payload[length..];
            }
            [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, _] | [HANDSHAKE, 3, _, _] => return Sniffed::NeedMore,
            _ => return Sniffed::Other,
        }
    }
}

/// The hello in `handshake`; `None` while it is not complete.
fn client_hello(handshake: &[u8]) -> Option<Sniffed> {
    match handshake {
        [] => None,
        [CLIENT_HELLO, a, b, c, body @ ..] => {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if length > super::MAX_BYTES {
                return Some(Sniffed::Other);
            }
            let body = body.get(..length)?;
            Some(server_name(body).map_or(Sniffed::Other, |sni| Sniffed::Tls { sni }))
        }
        [CLIENT_HELLO, ..] => None,
        _ => Some(Sniffed::Other),
    }
}

/// The server name extension of a complete hello; `None` when the hello is malformed.
fn server_name(body: &[u8]) -> Option<Option<String>> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    let session = reader.u8()?;
    reader.take(usize::from(session))?;
    let suites = reader.u16()?;
    reader.take(usize::from(suites))?;
    let compression = reader.u8()?;
    reader.take(usize::from(compression))?;
    if reader.0.is_empty() {
        return Some(None);
    }
    let length = reader.u16()?;
    let mut extensions = Reader(reader.take(usize::from(length))?);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let length = extensions.u16()?;
        let content = extensions.take(usize::from(length))?;
        if kind == SERVER_NAME {
            let mut list = Reader(content);
            list.u16()?;
            list.u8()?;
            let length = list.u16()?;
            let name = list.take(usize::from(length))?;
            return Some(Some(String::from_utf8_lossy(name).to_ascii_lowercase()));
        }
    }
    Some(None)
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}
