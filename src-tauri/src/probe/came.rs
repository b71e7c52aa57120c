//! What came of a request, as far as its client tells.

use super::request::Client;

/// How a request came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Somebody answered with this status.
    Answered(u16),
    /// The site was reached, and the client wanted no more of it: nothing was asked, or its certificate was not trusted.
    Reached,
    /// The connection was cut, at the latest in the handshake.
    Cut,
    /// The name has no address.
    Unresolved,
    /// Nobody took the connection.
    Refused,
    /// Nothing came in time.
    TimedOut,
    /// It failed, and the client does not tell how.
    Failed,
}

impl Came {
    /// From a client's exit code and the status it saw. curl's codes are in its manual.
    pub fn of(client: Client, exit: i32, status: Option<u16>) -> Self {
        match (client, exit, status) {
            (_, _, Some(status)) => Self::Answered(status),
            (_, 0, None) => Self::Reached,
            (Client::Wget, _, None) => Self::Failed,
            (Client::Curl, 6, None) => Self::Unresolved,
            (Client::Curl, 7, None) => Self::Refused,
            (Client::Curl, 28, None) => Self::TimedOut,
            // Handshake, empty reply, send, receive.
            (Client::Curl, 35 | 52 | 55 | 56, None) => Self::Cut,
            // A certificate of another name, or of an unknown authority.
            (Client::Curl, 51 | 60, None) => Self::Reached,
            (Client::Curl, _, None) => Self::Failed,
        }
    }

    /// Of a connection in which nothing is asked, as curl makes one: it stays until the other side ends it or the time is up,
    /// and what it ended with says less than whether anything `came`.
    pub fn of_stream(exit: i32, connected: bool, came: bool) -> Self {
        match (exit, came) {
            (0 | 28, true) => Self::Reached,
            (28, false) if connected => Self::Reached,
            (0, false) => Self::Cut,
            _ => Self::of(Client::Curl, exit, None),
        }
    }

    /// In a few words.
    pub fn words(self) -> String {
        match self {
            Self::Answered(status) => format!("the answer was {status}"),
            Self::Reached => "the site was reached".into(),
            Self::Cut => "the connection was cut".into(),
            Self::Unresolved => "the name was not resolved".into(),
            Self::Refused => "nobody took the connection".into(),
            Self::TimedOut => "no answer came in time".into(),
            Self::Failed => "the client failed".into(),
        }
    }
}
