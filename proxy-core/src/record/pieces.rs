//! The pieces that a line of the access log is written in.

use std::{
    fmt::{self, Write},
    net::SocketAddr,
    ops::Range,
    str,
};

use time::OffsetDateTime;

/// A line that is written piece by piece.
pub(super) struct Pieces<'l>(pub &'l mut String);

impl Pieces<'_> {
    /// A text as it is.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }

    pub fn time(&mut self, time: OffsetDateTime) -> &mut Self {
        self.display(&Timestamp(time))
    }

    /// An address, or that there is none.
    pub fn address(&mut self, address: Option<SocketAddr>) -> &mut Self {
        match address {
            Some(SocketAddr::V4(address)) => {
                let [first, others @ ..] = address.ip().octets();
                self.number(first.into());
                for octet in others {
                    self.text(".").number(octet.into());
                }
                self.text(":").number(address.port().into())
            }
            Some(address) => self.display(&address),
            None => self.text("-"),
        }
    }

    /// A text inside quotes: what the caller sent must not end the quotes or the line.
    pub fn quoted(&mut self, text: &str) -> &mut Self {
        // Of letters beyond ASCII some are control characters; the others pass through the slow way as they are.
        if text
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
        {
            return self.text(dash(text));
        }
        for letter in text.chars() {
            match letter {
                '"' | '\\' => self.0.extend(['\\', letter]),
                letter if letter.is_control() => self.0.extend(letter.escape_default()),
                letter => self.0.push(letter),
            }
        }
        self
    }

    fn display(&mut self, piece: &impl fmt::Display) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{piece}");
        self
    }
}

/// Empty texts print as `-`.
pub(super) fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// ISO 8601 in UTC with milliseconds.
pub struct Timestamp(pub OffsetDateTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |place: Range<usize>, mut value: u32| {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0..4, time.year().unsigned_abs());
        put(5..7, u8::from(time.month()).into());
        put(8..10, time.day().into());
        put(11..13, time.hour().into());
        put(14..16, time.minute().into());
        put(17..19, time.second().into());
        put(20..23, time.millisecond().into());
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn written(write: impl FnOnce(&mut Pieces<'_>)) -> String {
        let mut line = String::new();
        write(&mut Pieces(&mut line));
        line
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for text in ["0.0.0.0:0", "10.1.203.255:65535", "[::1]:80", "[2001:db8::a]:443"] {
            let address = text.parse().unwrap();
            let line = written(|line| {
                line.address(Some(address));
            });
            assert_eq!(line, text);
        }
    }

    #[test]
    fn a_quoted_text_ends_neither_its_quotes_nor_its_line() {
        for (text, expected) in [
            ("", "-"),
            ("curl/8.5 (x)", "curl/8.5 (x)"),
            ("a\"b\\c\n\u{7f}", "a\\\"b\\\\c\\n\\u{7f}"),
            ("gr\u{fc}n\u{85}", "gr\u{fc}n\\u{85}"),
        ] {
            let line = written(|line| {
                line.quoted(text);
            });
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn times_have_all_their_zeros() {
        let time = datetime!(2026-01-02 03:04:05.006 UTC);
        assert_eq!(Timestamp(time).to_string(), "2026-01-02T03:04:05.006Z");
    }
}
