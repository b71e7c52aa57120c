//! Bodies of gRPC-Web made into those of gRPC, and back. Source: Envoy's `GrpcWebFilter`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use hyper::{HeaderMap, body::Frame};

use super::request::{RequestBroken, Unreadable};

/// The flag of the message that has the trailers.
const TRAILERS: u8 = 0x80;

/// The flag of a message of gRPC that is compressed; there is no other one.
const COMPRESSED: u8 = 1;

/// Flags and length, before each message.
const PREFIX: usize = 5;

/// How much of an answer that is none of gRPC is told in its head.
const MOST_WORDS: usize = 16 * 1024;

/// A request's body in base64, as it is read. What arrives at once may end with padding.
#[derive(Debug, Default)]
pub(super) struct Base64(BytesMut);

impl Base64 {
    /// What of it can be read with `frame`, which is the `last` one. Behind trailers nothing is asked of what is left over.
    pub fn read(
        &mut self,
        frame: Option<Result<Frame<Bytes>, RequestBroken>>,
        last: bool,
    ) -> Option<Result<Frame<Bytes>, RequestBroken>> {
        let data = match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Some(Ok(trailers)),
            },
            Some(Err(broken)) => return Some(Err(broken)),
            None if self.0.is_empty() => return None,
            None => Bytes::new(),
        };
        self.0.extend_from_slice(&data);
        let whole = self.0.len() / 4 * 4;
        Some(match BASE64_STANDARD.decode(self.0.split_to(whole)) {
            Err(_) => Err(Unreadable::Base64.into()),
            Ok(_) if last && !self.0.is_empty() => Err(Unreadable::Base64Size.into()),
            Ok(read) => Ok(Frame::data(read.into())),
        })
    }
}

/// What becomes of an answer's body.
#[derive(Debug)]
pub(super) enum Answer {
    /// Messages as they are.
    Binary,
    /// Messages in base64, each on its own.
    Text(Text),
    /// Nothing: it is none of gRPC, and what it says is told in the head.
    Words(BytesMut),
}

impl Answer {
    /// What is sent for `frame`: of trailers, one more message.
    pub fn make(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let made = match (self, frame.into_data()) {
            (Self::Binary, Ok(data)) => data,
            (Self::Text(text), Ok(data)) => text.make(&data),
            (Self::Words(words), Ok(data)) => {
                let room = MOST_WORDS.saturating_sub(words.len());
                words.extend_from_slice(&data[..data.len().min(room)]);
                Bytes::new()
            }
            (Self::Words(_), Err(_)) => Bytes::new(),
            (kind, Err(frame)) => {
                let message = trailers_message(frame.trailers_ref());
                match kind {
                    Self::Text(_) => BASE64_STANDARD.encode(message).into(),
                    _ => message.into(),
                }
            }
        };
        Frame::data(made)
    }
}

/// Messages of gRPC on their way into base64. Nothing waits for the end of a message: it may be announced as huge.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// What has come of a prefix, or of three bytes, that are not whole yet.
    rest: BytesMut,
    /// How much of a message there is to make yet, where its prefix is known; 0 between two.
    left: usize,
}

impl Text {
    /// Envoy: what does not begin as a message passes as it is.
    fn make(&mut self, data: &Bytes) -> Bytes {
        self.rest.extend_from_slice(data);
        let mut made = String::new();
        while let Some(flags) = self.rest.first() {
            if self.left == 0 {
                if *flags & !COMPRESSED != 0 {
                    self.rest.clear();
                    return [data, made.as_bytes()].concat().into();
                }
                let Some(mut length) = self.rest.get(1..PREFIX) else {
                    break;
                };
                self.left = PREFIX.saturating_add(length.get_u32() as usize);
            }
            // Three bytes are four letters; only a message's end is padded.
            let ready = match self.rest.len() {
                there if there >= self.left => self.left,
                there => there / 3 * 3,
            };
            BASE64_STANDARD.encode_string(self.rest.split_to(ready), &mut made);
            self.left -= ready;
            if self.left > 0 {
                break;
            }
        }
        made.into()
    }
}

/// The message that trailers become.
fn trailers_message(trailers: Option<&HeaderMap>) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in trailers.into_iter().flatten() {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"] {
            lines.put_slice(part);
        }
    }
    let mut message = vec![TRAILERS];
    // The HTTP library takes no larger ones than some 16 KiB.
    message.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    message.append(&mut lines);
    message
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    type Read = Result<Vec<u8>, Unreadable>;

    fn read(pieces: &[&[u8]]) -> Read {
        let mut base64 = Base64::default();
        let mut all = Vec::new();
        let frames = pieces
            .iter()
            .map(|piece| Some(Ok(Frame::data(Bytes::copy_from_slice(piece)))));
        for frame in frames.chain([None]) {
            let last = frame.is_none();
            match base64.read(frame, last) {
                Some(Ok(frame)) => all.extend(frame.into_data().unwrap()),
                Some(Err(RequestBroken::Unreadable(why))) => return Err(why),
                other => assert!(other.is_none(), "{other:?}"),
            }
        }
        Ok(all)
    }

    #[test]
    fn a_request_in_base64_is_read_as_it_arrives_and_may_be_padded_where_a_piece_ends() {
        for (pieces, expected) in [
            (&[&b"AAAAAANhYmM="[..]][..], Ok(b"\0\0\0\0\x03abc".to_vec())),
            (&[b"AAA", b"AA", b"ANhYmM="], Ok(b"\0\0\0\0\x03abc".to_vec())),
            (&[b"QQ==", b"QUJD"], Ok(b"AABC".to_vec())),
            (&[b"QQ==QUJD"], Err(Unreadable::Base64)),
            (&[b"!!!!", b"QUJD"], Err(Unreadable::Base64)),
            (&[b"QR=="], Err(Unreadable::Base64)),
            (&[b"AAAAA", b"ANhYmM=AA"], Err(Unreadable::Base64Size)),
            (&[b"A"], Err(Unreadable::Base64Size)),
            (&[], Ok(Vec::new())),
        ] {
            assert_eq!(read(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn of_a_message_that_announces_much_nothing_is_held_back() {
        let mut answer = Answer::Text(Text::default());
        let mut made = |data: Vec<u8>| answer.make(Frame::data(data.into())).into_data().unwrap().len();
        made(vec![0, 0xff, 0xff, 0xff, 0xff]);
        let sent: usize = (0..128).map(|_| made(vec![0; 64 * 1024])).sum();
        assert!(sent >= 8 * 1024 * 1024, "{sent}");
    }

    #[test]
    fn each_whole_message_is_in_base64_of_its_own_and_trailers_are_one_more() {
        let mut answer = Answer::Text(Text::default());
        let mut made = |data: &'static [u8]| answer.make(Frame::data(Bytes::from_static(data))).into_data().unwrap();
        assert_eq!(made(b"\0\0\0\0\x03one"), "AAAAAANvbmU=");
        assert_eq!(made(b"\0\0\0\0\x05tw"), "AAAAAAV0");
        assert_eq!(made(b"o22\0\0\0\0\0"), "d28yMg==AAAAAAA=");
        // As Envoy 1.40 was seen to answer.
        assert_eq!(
            made(b"\0\0\0\0\x03one\x80\0\0\0\x02ab"),
            &b"\0\0\0\0\x03one\x80\0\0\0\x02abAAAAAANvbmU="[..]
        );
        let trailers = || {
            let lines = [("grpc-status", "0"), ("grpc-message", "fine"), ("x-own", "a")];
            let lines = lines.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            Frame::trailers(HeaderMap::from_iter(lines))
        };
        assert_eq!(
            answer.make(trailers()).into_data().unwrap(),
            "gAAAACtncnBjLXN0YXR1czowDQpncnBjLW1lc3NhZ2U6ZmluZQ0KeC1vd246YQ0K"
        );
        assert_eq!(
            Answer::Binary.make(trailers()).into_data().unwrap(),
            &b"\x80\0\0\0+grpc-status:0\r\ngrpc-message:fine\r\nx-own:a\r\n"[..]
        );
    }

    proptest! {
        #[test]
        fn however_messages_arrive_each_comes_out_whole(
            messages in vec((0..=COMPRESSED, vec(any::<u8>(), 0..40)), 0..6),
            cuts in vec(any::<Index>(), 0..8),
        ) {
            let mut all = Vec::new();
            let mut expected = String::new();
            for (flags, message) in &messages {
                let size = u32::try_from(message.len()).unwrap().to_be_bytes();
                let whole = [&[*flags], &size[..], message].concat();
                BASE64_STANDARD.encode_string(&whole, &mut expected);
                all.extend(whole);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len() + 1)).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let mut text = Text::default();
            let pieces = cuts.windows(2).map(|cut| Bytes::copy_from_slice(&all[cut[0]..cut[1]]));
            let made: Vec<Bytes> = pieces.map(|piece| text.make(&piece)).collect();
            prop_assert_eq!(made.concat(), expected.into_bytes());
        }
    }
}
