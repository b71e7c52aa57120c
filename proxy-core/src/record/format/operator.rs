//! Envoy's format strings: plain text with command operators such as `%REQ(:AUTHORITY)%` in it. Source of the rules:
//! Envoy's documentation of access log usage.

use crate::model::{Written, command_operators};

/// What an operator says of a flow. Others are read over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    StartTime,
    Method,
    Path,
    Authority,
    Protocol,
    Status,
    Flags,
    Details,
    BytesReceived,
    BytesSent,
    Duration,
    UpstreamTime,
    RequestId,
    UpstreamHost,
    Cluster,
    LocalAddress,
    LocalIp,
    LocalPort,
    RemoteAddress,
    RemoteIp,
    RemotePort,
    Sni,
    Route,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::StartTime,
        Self::Method,
        Self::Path,
        Self::Authority,
        Self::Protocol,
        Self::Status,
        Self::Flags,
        Self::Details,
        Self::BytesReceived,
        Self::BytesSent,
        Self::Duration,
        Self::UpstreamTime,
        Self::RequestId,
        Self::UpstreamHost,
        Self::Cluster,
        Self::LocalAddress,
        Self::LocalIp,
        Self::LocalPort,
        Self::RemoteAddress,
        Self::RemoteIp,
        Self::RemotePort,
        Self::Sni,
        Self::Route,
    ];

    /// Its name, and what it says, in a few words.
    pub fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::StartTime => ("START_TIME", "when it began"),
            Self::Method => ("METHOD", "as sent by the caller"),
            Self::Path => ("PATH", "as sent by the caller"),
            Self::Authority => ("AUTHORITY", "Host: a claim, not proof"),
            Self::Protocol => ("PROTOCOL", "as spoken by the caller"),
            Self::Status => ("RESPONSE_CODE", "HTTP status; 0 for a byte stream"),
            Self::Flags => ("RESPONSE_FLAGS", "why it ended as it did"),
            Self::Details => ("RESPONSE_CODE_DETAILS", "who answered"),
            Self::BytesReceived => ("BYTES_RECEIVED", "bytes from the caller"),
            Self::BytesSent => ("BYTES_SENT", "bytes to the caller"),
            Self::Duration => ("DURATION", "milliseconds from first to last byte"),
            Self::UpstreamTime => ("UPSTREAM_SERVICE_TIME", "milliseconds until the upstream answered"),
            Self::RequestId => ("REQUEST_ID", "made by the sidecar, or kept"),
            Self::UpstreamHost => ("UPSTREAM_HOST", "address that was dialled"),
            Self::Cluster => ("UPSTREAM_CLUSTER", "policy's name for the upstream"),
            Self::LocalAddress => ("DOWNSTREAM_LOCAL_ADDRESS", "original destination: a fact"),
            Self::LocalIp => ("DOWNSTREAM_LOCAL_IP", "original destination: a fact"),
            Self::LocalPort => ("DOWNSTREAM_LOCAL_PORT", "original destination: a fact"),
            Self::RemoteAddress => ("DOWNSTREAM_REMOTE_ADDRESS", "the caller's address"),
            Self::RemoteIp => ("DOWNSTREAM_REMOTE_IP", "the caller's address"),
            Self::RemotePort => ("DOWNSTREAM_REMOTE_PORT", "the caller's port"),
            Self::Sni => ("REQUESTED_SERVER_NAME", "SNI: a claim, not proof"),
            Self::Route => ("ROUTE_NAME", "route that matched"),
        }
    }
}

/// A part of a format string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Stands in each line as it is.
    Literal(String),
    /// Stands for a value; `None` for one that says nothing of a flow.
    Operator(Option<Field>),
}

/// The parts of a format string, or what is wrong with it.
pub fn pieces(format: &str) -> Result<Vec<Piece>, String> {
    let written = command_operators(format).map_err(|rest| {
        let start: String = rest.chars().take(24).collect();
        format!("%{start} is no command operator")
    })?;
    let mut pieces = Vec::new();
    for part in written {
        match (part, pieces.last_mut()) {
            (Written::Literal(text), Some(Piece::Literal(before))) => before.push_str(text),
            (Written::Literal(text), _) => pieces.push(Piece::Literal(text.to_string())),
            (Written::Operator(operator), _) => pieces.push(Piece::Operator(field(operator.name, operator.argument))),
        }
    }
    Ok(pieces)
}

fn field(name: &str, argument: &str) -> Option<Field> {
    Some(match name {
        "START_TIME" => Field::StartTime,
        "REQ" => header(argument)?,
        "REQ_WITHOUT_QUERY" | "PATH" => Field::Path,
        "RESP" if argument.eq_ignore_ascii_case("X-ENVOY-UPSTREAM-SERVICE-TIME") => Field::UpstreamTime,
        "PROTOCOL" => Field::Protocol,
        "RESPONSE_CODE" => Field::Status,
        "RESPONSE_FLAGS" | "RESPONSE_FLAGS_LONG" => Field::Flags,
        "RESPONSE_CODE_DETAILS" => Field::Details,
        "BYTES_RECEIVED" => Field::BytesReceived,
        "BYTES_SENT" => Field::BytesSent,
        "DURATION" => Field::Duration,
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Field::UpstreamHost,
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Field::Cluster,
        "DOWNSTREAM_LOCAL_ADDRESS" => Field::LocalAddress,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Field::LocalIp,
        "DOWNSTREAM_LOCAL_PORT" => Field::LocalPort,
        "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Field::RemoteAddress,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Field::RemoteIp,
        "DOWNSTREAM_REMOTE_PORT" | "DOWNSTREAM_DIRECT_REMOTE_PORT" => Field::RemotePort,
        "REQUESTED_SERVER_NAME" => Field::Sni,
        "ROUTE_NAME" => Field::Route,
        _ => return None,
    })
}

/// `X?Y` takes the header Y where there is no X.
fn header(argument: &str) -> Option<Field> {
    argument.split('?').find_map(|name| {
        Some(match name.to_ascii_uppercase().as_str() {
            ":METHOD" => Field::Method,
            ":PATH" | "X-ENVOY-ORIGINAL-PATH" => Field::Path,
            ":AUTHORITY" | "HOST" => Field::Authority,
            "X-REQUEST-ID" => Field::RequestId,
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_told_from_text_with_their_arguments_and_lengths() {
        let literal = |text: &str| Piece::Literal(text.into());
        let of = |field| Piece::Operator(Some(field));
        assert_eq!(
            pieces("[%START_TIME(%s.%3f)%] 100%% %REQ(X-A?:AUTHORITY):40% %CEL(f(x))%").unwrap(),
            [
                literal("["),
                of(Field::StartTime),
                literal("] 100% "),
                of(Field::Authority),
                literal(" "),
                Piece::Operator(None),
            ]
        );
        for (wrong, said) in [("a %", "%"), ("%req(x)%", "%req(x)%"), ("%REQ(x", "%REQ(x")] {
            assert!(pieces(wrong).unwrap_err().starts_with(said), "{wrong}");
        }
    }
}
