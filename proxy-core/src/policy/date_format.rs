//! Envoy's formats of times, as `%START_TIME(FORMAT)%` has them: those of `strftime` in UTC, with fractions of a second.
//! Source: what Envoy 1.40 makes of each; a specifier that it does not know stands for itself.

use std::fmt::{self, Write as _};

use time::{
    OffsetDateTime, UtcOffset,
    format_description::{BorrowedFormatItem, OwnedFormatItem, parse_strftime_owned},
    macros::format_description,
};

/// What stands where no format is written.
const DEFAULT: &str = "%Y-%m-%dT%H:%M:%E3SZ";

/// The weekday, 0 on Sundays: this library's own `%w` has 1 there.
const WEEKDAY: &[BorrowedFormatItem<'_>] = format_description!("[weekday repr:sunday one_indexed:false]");

/// A format, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// One of strftime's.
    Standard(OwnedFormatItem),
    /// So many digits of the second's fraction.
    Fraction(usize),
    /// Seconds with so many digits of their fraction; without a number as many as say something.
    Seconds(Option<usize>),
}

impl DateFormat {
    /// Takes `written` apart.
    pub fn of(written: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = if written.is_empty() { DEFAULT } else { written };
        while let Some(at) = rest.find('%') {
            if at > 0 {
                parts.push(Part::Literal(rest[..at].to_string()));
            }
            let (part, after) = specifier(&rest[at..]);
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_string()));
        }
        Self(parts)
    }

    /// Writes a time.
    pub fn write(&self, time: OffsetDateTime, text: &mut String) -> fmt::Result {
        let time = time.to_offset(UtcOffset::UTC);
        let nanoseconds = format!("{:09}", time.nanosecond());
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Standard(item) => text.push_str(&time.format(item).map_err(|_| fmt::Error)?),
                Part::Fraction(digits) => text.push_str(&nanoseconds[..*digits]),
                Part::Seconds(digits) => {
                    let fraction = match digits {
                        Some(digits) => &nanoseconds[..*digits],
                        None => nanoseconds.trim_end_matches('0'),
                    };
                    let point = if fraction.is_empty() { "" } else { "." };
                    write!(text, "{:02}{point}{fraction}", time.second())?;
                }
            }
        }
        Ok(())
    }
}

/// The specifier that `text` begins with, and what follows it.
fn specifier(text: &str) -> (Part, &str) {
    let inner = &text[1..];
    let digit = |text: &str| {
        text.chars()
            .next()
            .and_then(|first| first.to_digit(10))
            .map(|digit| digit as usize)
    };
    if let Some(after) = inner.strip_prefix('f') {
        return (Part::Fraction(9), after);
    }
    if let Some(digits @ 1..) = digit(inner)
        && let Some(after) = inner[1..].strip_prefix('f')
    {
        return (Part::Fraction(digits), after);
    }
    if let Some(extended) = inner.strip_prefix('E') {
        if let Some(after) = extended.strip_prefix("*S") {
            return (Part::Seconds(None), after);
        }
        if let Some(digits) = digit(extended)
            && let Some(after) = extended[1..].strip_prefix('S')
        {
            return (Part::Seconds(Some(digits)), after);
        }
        for (name, standard) in [("z", "+00:00"), ("4Y", "%Y")] {
            if let Some(after) = extended.strip_prefix(name) {
                return (standard_or_literal(standard), after);
            }
        }
    }
    // The zone has no name in this library; it is always the same.
    if let Some(after) = inner.strip_prefix('Z') {
        return (Part::Literal("UTC".to_string()), after);
    }
    if let Some(after) = inner.strip_prefix('w') {
        return (Part::Standard(WEEKDAY.into()), after);
    }
    let padding = inner.starts_with(['_', '-', '0', '^', '#']);
    let letters = inner.chars().take(if padding { 2 } else { 1 });
    let (whole, after) = text.split_at(1 + letters.map(char::len_utf8).sum::<usize>());
    (standard_or_literal(whole), after)
}

fn standard_or_literal(written: &str) -> Part {
    match parse_strftime_owned(written) {
        Ok(item) => Part::Standard(item),
        Err(_) => Part::Literal(written.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_written_as_envoy_writes_them() {
        let time = datetime!(2026-11-30 03:50:32.876657 UTC);
        for (format, expected) in [
            ("", "2026-11-30T03:50:32.876Z"),
            ("%s", "1796010632"),
            ("%s.%3f", "1796010632.876"),
            ("%Y/%m/%dT%H:%M:%S%z %3f", "2026/11/30T03:50:32+0000 876"),
            ("%f|%9f|%1f", "876657000|876657000|8"),
            ("%E3S", "32.876"),
            ("%E*S", "32.876657"),
            (
                "%a %A %b %B %d %e %j %y %p %I %Z %z %D %F %T %R",
                "Mon Monday Nov November 30 30 334 26 AM 03 UTC +0000 11/30/26 2026-11-30 03:50:32 03:50",
            ),
            ("%Q", "%Q"),
            ("%%", "%"),
            ("%ES %Ez", "%ES +00:00"),
            ("%c", "Mon Nov 30 03:50:32 2026"),
            (
                "%u %w %U %C %h %t|%r|%x|%X",
                "1 1 48 20 Nov \t|03:50:32 AM|11/30/26|03:50:32",
            ),
            ("%k %l %G %g %V %W %P", " 3  3 2026 26 49 48 am"),
            ("plain", "plain"),
            ("%_d %-d %E4Y", "30 30 2026"),
            ("ü%", "ü%"),
            ("%ü", "%ü"),
        ] {
            let mut text = String::new();
            DateFormat::of(format).write(time, &mut text).unwrap();
            assert_eq!(text, expected, "{format}");
        }
    }
}
