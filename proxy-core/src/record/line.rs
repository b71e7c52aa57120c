//! Reads a line of Istio's current text format back into its tokens.

/// One token of an access log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Envoy's name of the field.
    pub name: &'static str,
    /// The token without quotes or brackets.
    pub value: String,
    /// What the field says, in a few words.
    pub meaning: &'static str,
}

/// Fields of the current format in their order, with what they say.
const FIELDS: [(&str, &str); 22] = [
    ("START_TIME", "when it began, UTC"),
    ("REQUEST", "method, path and protocol; - - - for a byte stream"),
    ("RESPONSE_CODE", "HTTP status; 0 for a byte stream"),
    ("RESPONSE_FLAGS", "why it ended as it did"),
    ("RESPONSE_CODE_DETAILS", "who answered"),
    ("CONNECTION_TERMINATION_DETAILS", "why the connection was ended"),
    (
        "UPSTREAM_TRANSPORT_FAILURE_REASON",
        "why the upstream's transport failed",
    ),
    ("BYTES_RECEIVED", "bytes from the caller"),
    ("BYTES_SENT", "bytes to the caller"),
    ("DURATION", "milliseconds from first to last byte"),
    ("UPSTREAM_SERVICE_TIME", "milliseconds until the upstream answered"),
    ("X_FORWARDED_FOR", "as sent by the caller"),
    ("USER_AGENT", "as sent by the caller"),
    ("REQUEST_ID", "made by the sidecar, or kept"),
    ("AUTHORITY", "Host: a claim, not proof"),
    ("UPSTREAM_HOST", "address that was dialled"),
    ("UPSTREAM_CLUSTER", "policy's name for the upstream"),
    ("UPSTREAM_LOCAL_ADDRESS", "the sidecar's own address"),
    ("DOWNSTREAM_LOCAL_ADDRESS", "original destination: a fact"),
    ("DOWNSTREAM_REMOTE_ADDRESS", "the caller's address"),
    ("REQUESTED_SERVER_NAME", "SNI: a claim, not proof"),
    ("ROUTE_NAME", "route that matched"),
];

/// The tokens of `line`; `None` when it is not of the current format.
pub fn read_line(line: &str) -> Option<Vec<Token>> {
    let mut rest = line.trim_end();
    let mut tokens = Vec::with_capacity(FIELDS.len());
    for (name, meaning) in FIELDS {
        let (value, after) = next(rest)?;
        tokens.push(Token { name, value, meaning });
        rest = after;
    }
    rest.is_empty().then_some(tokens)
}

/// One token: in brackets, in quotes (with escapes), or up to the next space.
fn next(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches(' ');
    if let Some(inner) = text.strip_prefix('[') {
        let end = inner.find(']')?;
        return Some((inner[..end].to_string(), &inner[end + 1..]));
    }
    if let Some(inner) = text.strip_prefix('"') {
        let mut value = String::new();
        let mut characters = inner.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return Some((value, &inner[at + 1..])),
                '\\' => value.push(characters.next()?.1),
                character => value.push(character),
            }
        }
        return None;
    }
    let end = text.find(' ').unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_string(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_format_is_read_and_others_are_not() {
        let line = r#"[2026-11-23T14:02:12.932Z] "GET /a\"b HTTP/1.1" 504 UT response_timeout - "-" 0 24 3001 - "-" "curl/8" "id" "httpbin.org" "1.2.3.4:80" outbound|80||httpbin.org 10.0.0.1:1 1.2.3.4:80 10.0.0.1:2 - -"#;
        let tokens = read_line(line).unwrap();
        assert_eq!(tokens.len(), 22);
        assert_eq!(tokens[1].value, "GET /a\"b HTTP/1.1");
        assert_eq!((tokens[3].name, tokens[3].value.as_str()), ("RESPONSE_FLAGS", "UT"));
        assert_eq!(
            read_line("[2019-01-24T12:17:11.640Z] \"GET / HTTP/1.1\" 200 - 0 599"),
            None
        );
        assert_eq!(read_line(""), None);
        assert_eq!(read_line("\"unclosed"), None);
    }
}
