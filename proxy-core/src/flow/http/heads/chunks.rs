//! Where a chunked body ends. Source: RFC 9112, section 7.1. Only what is well made is followed: hyper refuses the rest.

/// How far a chunked body has been read.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    next: Next,
    /// Of the chunk, as far as it is known or left.
    size: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Digits of a chunk's size.
    #[default]
    Size,
    /// The rest of the line that says it.
    SizeLine,
    Data,
    /// The end of the line behind the data.
    DataLine,
    /// A trailer's first byte, or the empty line that ends it all.
    Trailer,
    TrailerLine,
}

impl Chunks {
    /// Reads on in the body: how many of `bytes` are the rest of it, nothing where it goes on behind them.
    pub fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if self.next == Next::Data {
                let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += length;
                self.size -= length as u64;
                if self.size == 0 {
                    self.next = Next::DataLine;
                }
                continue;
            }
            at += 1;
            let digit = char::from(byte).to_digit(16);
            self.next = match (self.next, byte) {
                (Next::Size | Next::SizeLine, b'\n') if self.size == 0 => Next::Trailer,
                (Next::Size | Next::SizeLine, b'\n') => Next::Data,
                (Next::Size, _) if digit.is_some() => {
                    self.size = self
                        .size
                        .saturating_mul(16)
                        .saturating_add(u64::from(digit.unwrap_or_default()));
                    Next::Size
                }
                (Next::Size | Next::SizeLine, _) => Next::SizeLine,
                (Next::DataLine, b'\n') => Next::Size,
                (Next::Trailer, b'\n') => return Some(at),
                (Next::Trailer, b'\r') => Next::Trailer,
                (Next::TrailerLine, b'\n') => Next::Trailer,
                (Next::Trailer | Next::TrailerLine, _) => Next::TrailerLine,
                (next, _) => next,
            };
        }
        None
    }
}
