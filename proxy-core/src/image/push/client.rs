//! One registry: where it answers, in TLS except on this computer, and the authorization that it asks for, which nobody else
//! is sent.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{Method, StatusCode, Uri, header::HeaderValue};
use serde::Deserialize;

use super::{
    Fault, Reference, Tell,
    challenge::Challenge,
    credentials::{Credentials, Keyrings, Secret},
    wire::{Ask, Said, exchange, is_local},
};
use crate::net::Originator;

/// A registry, while something is pushed there.
pub(super) struct Client<'a> {
    reference: &'a Reference,
    keyrings: &'a Keyrings,
    tell: &'a Arc<Tell>,
    originator: Originator,
    /// `https`, or `http` for a registry on this computer that speaks no TLS; known once it was connected to.
    scheme: OnceLock<&'static str>,
    authorization: Option<HeaderValue>,
}

impl<'a> Client<'a> {
    pub fn new(reference: &'a Reference, keyrings: &'a Keyrings, tell: &'a Arc<Tell>) -> Self {
        Self {
            reference,
            keyrings,
            tell,
            originator: Originator::default(),
            scheme: OnceLock::new(),
            authorization: None,
        }
    }

    /// The registry's own name in words.
    pub fn host(&self) -> &str {
        self.reference.registry()
    }

    /// Learns how the registry is spoken with, and whom it wants to know. The specification's `GET /v2/`.
    pub async fn begin(&mut self) -> Result<(), Fault> {
        let is_local = is_local(self.reference.host());
        let first = self
            .exchange(&Ask::new(Method::GET, self.url("https", "")?), None)
            .await;
        let said = match first {
            // It speaks no TLS; a certificate that is not trusted is another matter.
            Err(Fault::Tls { error, .. }) if is_local && !is_about_certificate(&error) => {
                let _ = self.scheme.set("http");
                self.exchange(&Ask::new(Method::GET, self.url("http", "")?), None)
                    .await?
            }
            other => {
                let _ = self.scheme.set("https");
                other?
            }
        };
        match said.status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => self.authorize(&said).await,
            _ => Err(self.refused(&said, "its interface was asked for")),
        }
    }

    /// `/v2/` of the registry and what follows.
    pub fn at(&self, path: &str) -> Result<Uri, Fault> {
        self.url(self.scheme.get().copied().unwrap_or("https"), path)
    }

    fn url(&self, scheme: &str, path: &str) -> Result<Uri, Fault> {
        let text = format!("{scheme}://{}/v2/{path}", self.reference.host());
        text.parse().map_err(|_| self.odd(format!("{text} is no URL")))
    }

    /// Where a `Location` leads from `base`: it may be a path, or a URL of another host.
    pub fn location(&self, base: &Uri, location: &str) -> Result<Uri, Fault> {
        let whole = if location.starts_with('/') {
            let authority = base.authority().map_or("", |authority| authority.as_str());
            format!("{}://{authority}{location}", base.scheme_str().unwrap_or("https"))
        } else {
            location.to_string()
        };
        let url: Uri = whole
            .parse()
            .map_err(|_| self.odd("it leads to what is no URL".into()))?;
        self.allowed(&url)?;
        Ok(url)
    }

    /// Nothing is sent in the clear but to this computer.
    fn allowed(&self, url: &Uri) -> Result<(), Fault> {
        match (url.scheme_str(), url.host()) {
            (Some("https"), Some(_)) => Ok(()),
            (Some("http"), Some(host)) if is_local(host) => Ok(()),
            // What follows the host may hold a secret.
            (_, host) => Err(self.odd(format!("it leads to {} without https", host.unwrap_or_default()))),
        }
    }

    /// Sends a request, with authorization where it goes to the registry; once more where that has run out.
    pub async fn send(&mut self, ask: Ask) -> Result<Said, Fault> {
        let own = ask.url.authority() == self.at("")?.authority();
        let said = self.exchange(&ask, self.authorization.clone().filter(|_| own)).await?;
        if said.status != StatusCode::UNAUTHORIZED || !own {
            return Ok(said);
        }
        self.authorize(&said).await?;
        let again = self.exchange(&ask, self.authorization.clone()).await?;
        match again.status {
            StatusCode::UNAUTHORIZED => Err(self.forbidden(&again)),
            _ => Ok(again),
        }
    }

    /// Answers what an answer asks for.
    async fn authorize(&mut self, said: &Said) -> Result<(), Fault> {
        let challenge = Challenge::of(&said.headers)
            .ok_or_else(|| self.odd("it asks for another authentication than Basic or Bearer".into()))?;
        let found = self.keyrings.find(self.reference).await?;
        let value = match (challenge, &found) {
            (Challenge::Basic, None) => return Err(Fault::Unknown(self.host().to_string())),
            (Challenge::Basic, Some(credentials)) => match &credentials.secret {
                Secret::Password { user, password } => {
                    let value = basic(user, password);
                    // A password that is wrong is wrong for each request.
                    if self.authorization.is_some() {
                        return Err(self.unauthorized(credentials, said));
                    }
                    value
                }
                Secret::Refresh(_) => return Err(self.unauthorized(credentials, said)),
            },
            (Challenge::Bearer { realm, service }, _) => self.token(&realm, &service, found.as_ref()).await?,
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| self.odd("its token is no header".into()))?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(())
    }

    /// A token to push with, from the token server. Source: distribution's "Token Authentication Specification" and "OAuth 2
    /// Token Specification".
    async fn token(&self, realm: &str, service: &str, found: Option<&Credentials>) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let realm: Uri = realm
            .parse()
            .map_err(|_| self.odd(format!("its token server is {realm}")))?;
        self.allowed(&realm)?;
        let scope = format!("repository:{}:pull,push", self.reference.repository());
        let mut fields = vec![("service", service), ("scope", &scope)];
        let (mut ask, mut authorization) = (Ask::new(Method::GET, realm.clone()), None);
        match found.map(|found| &found.secret) {
            Some(Secret::Refresh(token)) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "egret"),
                    ("refresh_token", token),
                ]);
                ask.method = Method::POST;
                ask.content_type = Some("application/x-www-form-urlencoded");
                ask.body = form(&fields).into();
            }
            other => {
                if let Some(Secret::Password { user, password }) = other {
                    authorization = HeaderValue::try_from(basic(user, password)).ok();
                    fields.push(("account", user));
                }
                let separator = if realm.query().is_some() { '&' } else { '?' };
                let whole = format!("{realm}{separator}{}", form(&fields));
                ask.url = whole
                    .parse()
                    .map_err(|_| self.odd(format!("its token server is {realm}")))?;
            }
        }
        let said = self.exchange(&ask, authorization).await?;
        match (said.status, found) {
            (StatusCode::OK, _) => {}
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST, Some(found)) => {
                return Err(self.unauthorized(found, &said));
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => {
                return Err(Fault::Unknown(self.host().to_string()));
            }
            _ => {
                return Err(Fault::Refused {
                    host: realm.host().unwrap_or_default().to_string(),
                    doing: "a token was asked for",
                    status: said.status.as_u16(),
                    said: said.words(),
                });
            }
        }
        let token: Token =
            serde_json::from_slice(&said.body).map_err(|_| self.odd("its token server gave no token".into()))?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| self.odd("its token server gave no token".into()))?;
        Ok(format!("Bearer {token}"))
    }

    async fn exchange(&self, ask: &Ask, authorization: Option<HeaderValue>) -> Result<Said, Fault> {
        exchange(&self.originator, self.tell, ask, authorization).await
    }

    pub fn odd(&self, words: String) -> Fault {
        let host = self.host().to_string();
        Fault::Odd { host, words }
    }

    fn unauthorized(&self, found: &Credentials, said: &Said) -> Fault {
        Fault::Unauthorized {
            registry: self.host().to_string(),
            from: found.from.clone(),
            said: said.words(),
        }
    }

    fn forbidden(&self, said: &Said) -> Fault {
        Fault::Forbidden {
            name: format!("{}/{}", self.host(), self.reference.repository()),
            said: said.words(),
        }
    }

    /// What an answer means that is not the one that was to come.
    pub fn refused(&self, said: &Said, doing: &'static str) -> Fault {
        match said.status {
            StatusCode::FORBIDDEN => self.forbidden(said),
            status => Fault::Refused {
                host: self.host().to_string(),
                doing,
                status: status.as_u16(),
                said: said.words(),
            },
        }
    }
}

fn is_about_certificate(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// `application/x-www-form-urlencoded`, which a query can be too.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |text, byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text + &char::from(byte).to_string(),
            byte => text + &format!("%{byte:02X}"),
        })
    };
    let all = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    all.collect::<Vec<_>>().join("&")
}
