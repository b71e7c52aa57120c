//! How an upstream ended a request before its response was complete, in Envoy's words.

use std::error::Error;

use crate::policy::HttpVersion;

/// Why there is no response, or no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    /// The connection ended.
    Termination,
    /// The upstream reset the stream.
    Remote,
    /// The upstream did not begin with it: it refused the stream, or went away before.
    Refused,
    /// What it sent is no HTTP, or, in HTTP/2, it says so of what it got.
    Protocol,
}

impl Reset {
    /// Reads it of an error. HTTP/1.1 has no streams: there it is the connection that ended, or what came over it is no
    /// answer.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut found = Some(error);
        while let Some(error) = found {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                return Self::of_stream(error);
            }
            if error.downcast_ref().is_some_and(hyper::Error::is_parse) {
                return Self::Protocol;
            }
            found = error.source();
        }
        Self::Termination
    }

    /// The same of the body of a response. To Envoy's parser of HTTP/1.1 one that ends before its end is none.
    pub fn of_body(error: &(dyn Error + 'static), version: HttpVersion) -> Self {
        match version {
            HttpVersion::H2c => Self::of(error),
            HttpVersion::Http10 | HttpVersion::Http11 => Self::Protocol,
        }
    }

    fn of_stream(error: &h2::Error) -> Self {
        let reason = error.reason();
        match reason {
            _ if error.is_library() => Self::Protocol,
            Some(h2::Reason::PROTOCOL_ERROR) if error.is_reset() => Self::Protocol,
            Some(h2::Reason::REFUSED_STREAM) if error.is_reset() => Self::Refused,
            Some(_) if error.is_reset() => Self::Remote,
            Some(h2::Reason::NO_ERROR) if error.is_go_away() => Self::Refused,
            _ => Self::Termination,
        }
    }

    /// As the caller is told.
    pub fn words(self) -> &'static str {
        match self {
            Self::Termination => "connection termination",
            Self::Remote => "remote reset",
            Self::Refused => "remote refused stream reset",
            Self::Protocol => "protocol error",
        }
    }

    /// As the response code details say.
    pub fn details(self) -> &'static str {
        match self {
            Self::Termination => "connection_termination",
            Self::Remote => "remote_reset",
            Self::Refused => "remote_refused_stream_reset",
            Self::Protocol => "protocol_error",
        }
    }

    /// Response flags.
    pub fn flags(self) -> &'static str {
        match self {
            Self::Termination => "UC",
            Self::Remote | Self::Refused => "UR",
            Self::Protocol => "UPE",
        }
    }

    /// The status of the answer to a request that got none.
    pub fn status(self) -> u16 {
        match self {
            Self::Protocol => 502,
            _ => 503,
        }
    }
}
