//! Envoy's command operators, such as `%REQ(:AUTHORITY)%`, as they are written in access log formats and header values.
//! Source of the rules: Envoy's documentation of access log usage.

/// One operator: `%NAME%`, `%NAME(ARGUMENT)%` or `%NAME(ARGUMENT):LENGTH%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandOperator<'t> {
    /// `REQ`, `START_TIME` and so on.
    pub name: &'t str,
    /// What stands in its brackets.
    pub argument: &'t str,
}

/// A part of a text with operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written<'t> {
    /// Text as it is; `%` where two of them stood.
    Literal(&'t str),
    /// An operator.
    Operator(CommandOperator<'t>),
}

/// The parts of a text, or what follows the `%` that begins no operator.
pub fn command_operators(text: &str) -> Result<Vec<Written<'_>>, &str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        if at > 0 {
            parts.push(Written::Literal(&rest[..at]));
        }
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            parts.push(Written::Literal(&rest[..1]));
            rest = after;
            continue;
        }
        let (operator, after) = operator(rest).ok_or(rest)?;
        parts.push(Written::Operator(operator));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Written::Literal(rest));
    }
    Ok(parts)
}

/// One operator behind its `%`, and what follows it.
fn operator(text: &str) -> Option<(CommandOperator<'_>, &str)> {
    let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let end = text.find(|c| !legal(c))?;
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let made = |argument| CommandOperator { name, argument };
    if let Some(after) = closed(rest) {
        return Some((made(""), after));
    }
    let inner = rest.strip_prefix('(')?;
    // An argument may hold `%` (a time's format) and `)` (an expression): the first one that ends the operator does.
    inner.match_indices(')').find_map(|(at, _)| {
        let after = closed(&inner[at + 1..])?;
        Some((made(&inner[..at]), after))
    })
}

/// What follows an operator's end, `%` or `:LENGTH%`.
fn closed(text: &str) -> Option<&str> {
    let text = match text.strip_prefix(':') {
        Some(length) => length.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => text,
    };
    text.strip_prefix('%')
}
