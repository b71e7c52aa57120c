//! What a test request is sent to: read from its URL, found again among the flows, and put to the engine.

use std::net::{IpAddr, SocketAddr};

use proxy_core::policy::{Claims, Facts, HttpClaims, HttpVersion};

use crate::{
    fault::{Fault, Result},
    traffic::Row,
};

/// Longest URL.
const MAX_URL: usize = 8192;

/// What is spoken to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    /// A connection and nothing more.
    Tcp,
}

/// A URL in the parts that matter here.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL as the client takes it.
    pub url: String,
    pub scheme: Scheme,
    /// In lower case, without brackets.
    pub host: String,
    pub port: u16,
    /// What follows the authority, `/` where nothing does.
    path: String,
    /// Host and port as a client writes them in its Host header.
    authority: String,
}

impl Target {
    /// Reads `url`. `tcp://` is ours, for curl's `telnet://`.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = || {
            Fault::new("url", format!("{url:?} is no URL."))
                .hint("It begins with http://, https:// or tcp:// and a host.")
        };
        if url.len() > MAX_URL || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        let (named, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (scheme, default) = match named {
            "http" => (Scheme::Http, Some(80)),
            "https" => (Scheme::Https, Some(443)),
            "telnet" => (Scheme::Tcp, Some(23)),
            "tcp" => (Scheme::Tcp, None),
            _ => return Err(wrong()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, default.ok_or_else(wrong)?),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let path = after.split('#').next().unwrap_or_default();
        Ok(Self {
            url: match scheme {
                Scheme::Tcp => format!("telnet://{rest}"),
                _ => url.to_string(),
            },
            scheme,
            host: host.trim_matches(['[', ']']).to_ascii_lowercase(),
            port,
            path: match path.starts_with('/') {
                true => path.to_string(),
                false => format!("/{path}"),
            },
            authority: if Some(port) == default {
                host.into()
            } else {
                authority.into()
            },
        })
    }

    /// True for a flow to this target. `address` is the one that was connected to, where that is known: a flow without a
    /// name is only told apart by it.
    pub fn is(&self, row: &Row, address: Option<IpAddr>) -> bool {
        let record = &row.record;
        if record.destination.port() != self.port {
            return false;
        }
        // Bypassed connections and server-first protocols have no name.
        let unnamed = record.host.is_none() && record.sni.is_none();
        let own = record.destination.ip();
        match (unnamed, address) {
            (true, Some(address)) => own == address,
            (true, None) => true,
            (false, _) => row.name() == self.host || own.to_string() == self.host,
        }
    }

    /// What the engine is asked: a request with `method` to this target at `destination`.
    pub fn facts<'a>(&'a self, destination: SocketAddr, method: &'a str) -> Facts<'a> {
        let claims = match self.scheme {
            Scheme::Http => Claims::Http(HttpClaims {
                version: HttpVersion::Http11,
                method,
                authority: Some(&self.authority),
                path: &self.path,
                headers: &(),
            }),
            Scheme::Https => Claims::Tls {
                // An address is never sent as a server name.
                sni: self.host.parse::<IpAddr>().is_err().then_some(self.host.as_str()),
            },
            Scheme::Tcp => Claims::Tcp,
        };
        Facts {
            destination,
            claims,
            draw: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_what_is_spoken_to_whom() {
        for (url, scheme, host, port, path, authority) in [
            ("http://a.com", Scheme::Http, "a.com", 80, "/", "a.com"),
            ("http://a.com:80/", Scheme::Http, "a.com", 80, "/", "a.com"),
            ("https://user@A.com/x?y#z", Scheme::Https, "a.com", 443, "/x?y", "A.com"),
            ("http://[::1]:8080/", Scheme::Http, "::1", 8080, "/", "[::1]:8080"),
            ("http://1.2.3.4:81?x", Scheme::Http, "1.2.3.4", 81, "/?x", "1.2.3.4:81"),
            ("tcp://a.com:27017/", Scheme::Tcp, "a.com", 27017, "/", "a.com:27017"),
        ] {
            let target = Target::parse(url).unwrap();
            let read = (target.scheme, target.host.as_str(), target.port, target.path.as_str());
            assert_eq!(read, (scheme, host, port, path), "{url}");
            assert_eq!(target.authority, authority, "{url}");
        }
        assert_eq!(Target::parse("tcp://a:1").unwrap().url, "telnet://a:1");
        for url in ["", "a.com", "ftp://a", "http://", "http://a b", "http://a:x", "tcp://a"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_address_is_no_server_name() {
        let at = "1.2.3.4:443".parse().unwrap();
        for (url, name) in [("https://a.com", Some("a.com")), ("https://1.2.3.4", None)] {
            let target = Target::parse(url).unwrap();
            let Claims::Tls { sni } = target.facts(at, "GET").claims else {
                panic!("{url}")
            };
            assert_eq!(sni, name);
        }
    }
}
