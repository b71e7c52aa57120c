//! Reads lines of a text format. The format becomes a regular expression: reading takes time that grows with the line
//! alone, whatever callers put into their headers.

use std::borrow::Cow;

use regex::bytes::{Regex, RegexBuilder};

use super::{
    operator::{Field, Piece, pieces},
    values::Values,
};

/// Bounds what a format of ever so many operators may take.
const REGEX_BYTES: usize = 4 << 20;

/// A text format, ready to read.
#[derive(Debug)]
pub struct TextFormat {
    strict: Regex,
    lenient: Regex,
    fields: Vec<Field>,
}

/// What may stand inside quotes. Envoy does not escape there, so that a header can say more fields than there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// No quotation mark: each field ends where Envoy ended it.
    Strict,
    /// Any text, for a header with quotation marks in it.
    Lenient,
}

impl TextFormat {
    /// Makes a reader of a format string, or says why there can be none.
    pub fn compile(format: &str) -> Result<Self, String> {
        // The end of the line is not part of what is read; Istio adds it where the format has none.
        Self::of(&pieces(format.trim_end_matches('\n'))?)
    }

    /// A reader of parts that belong together.
    pub fn of(pieces: &[Piece]) -> Result<Self, String> {
        let fields = pieces.iter().filter_map(|piece| match piece {
            Piece::Operator(field) => *field,
            Piece::Literal(_) => None,
        });
        Ok(Self {
            strict: regex(pieces, Quotes::Strict)?,
            lenient: regex(pieces, Quotes::Lenient)?,
            fields: fields.collect(),
        })
    }

    /// What the format can say.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The values of a line of this format; `None` for any other line.
    pub fn read<'l>(&self, line: &'l str, quotes: Quotes) -> Option<Values<'l>> {
        match quotes {
            Quotes::Strict => self.values(&self.strict, line),
            // Only a request has headers. What comes behind them is still where Envoy put it.
            Quotes::Lenient => {
                let values = self.values(&self.lenient, line)?;
                values.text(Field::Method).is_some().then_some(values)
            }
        }
    }

    fn values<'l>(&self, regex: &Regex, line: &'l str) -> Option<Values<'l>> {
        let captures = regex.captures(line.as_bytes())?;
        let mut values = Values::default();
        for (index, field) in self.fields.iter().enumerate() {
            let found = captures.get(index + 1)?;
            values.put(*field, Cow::Borrowed(line.get(found.range())?));
        }
        Some(values)
    }
}

fn regex(pieces: &[Piece], quotes: Quotes) -> Result<Regex, String> {
    let mut pattern = String::from(r"\A");
    let mut inside = false;
    for piece in pieces {
        match piece {
            Piece::Literal(text) if text.contains('\n') => {
                return Err("it writes several lines for each flow".into());
            }
            Piece::Literal(text) => {
                inside ^= text.matches('"').count() % 2 == 1;
                pattern.push_str(&regex::escape(text));
            }
            Piece::Operator(field) => {
                let any = match quotes {
                    Quotes::Strict if inside => "[^\"]*?",
                    _ => ".*?",
                };
                match field {
                    Some(field) => pattern.push_str(&format!("({})", shape(*field).unwrap_or(any))),
                    None => pattern.push_str(any),
                }
            }
        }
    }
    pattern.push_str(r"\z");
    let regex = RegexBuilder::new(&pattern)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES)
        .build();
    regex.map_err(|_| "it has too many operators".to_string())
}

/// What a field's values look like, so that one that holds the text behind it is still read whole; `None` for any text.
fn shape(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::StartTime => r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|.*?",
        Field::Protocol => r"-|HTTP/[0-9.]+|",
        Field::Status
        | Field::BytesReceived
        | Field::BytesSent
        | Field::Duration
        | Field::UpstreamTime
        | Field::LocalPort
        | Field::RemotePort => r"-|[0-9]*",
        // Istio's cluster names have three bars in them.
        Field::Cluster => r"[a-z-]+\|[0-9]*\|[^ |]*\|[^ |]*?|[^ |]*?",
        Field::UpstreamHost | Field::LocalAddress | Field::RemoteAddress => {
            r"[0-9.]+:[0-9]+|\[[0-9A-Fa-f:.%]+\]:[0-9]+|[^ ]*?"
        }
        // None of them has a blank: what stands behind the headers cannot be shifted by them.
        Field::Method
        | Field::Authority
        | Field::Flags
        | Field::Sni
        | Field::Route
        | Field::LocalIp
        | Field::RemoteIp => "[^ ]*?",
        Field::Path | Field::Details | Field::RequestId => return None,
    })
}
