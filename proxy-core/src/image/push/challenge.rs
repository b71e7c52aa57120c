//! What a registry asks for before it takes anything. Source: RFC 9110, section 11.6.1; distribution's token authentication.

use hyper::header::{HeaderMap, WWW_AUTHENTICATE};

/// One of the two ways in which registries ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user and a password with each request.
    Basic,
    /// A token of the server `realm`, for `service`.
    Bearer {
        /// URL of the token server.
        realm: String,
        /// The registry, as that server calls it.
        service: String,
    },
}

impl Challenge {
    /// What an answer asks for; tokens first, since a password then goes to the token server alone.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter();
        let all: Vec<Self> = texts.filter_map(|text| text.to_str().ok()).filter_map(read).collect();
        let bearer = all.iter().find(|each| matches!(each, Self::Bearer { .. }));
        bearer.or(all.first()).cloned()
    }
}

fn read(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let named = |wanted: &str| {
        let mut all = parameters(rest).into_iter();
        all.find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value)
    };
    Some(Challenge::Bearer {
        realm: named("realm")?,
        service: named("service").unwrap_or_default(),
    })
}

/// `name="value", name=value`.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters
            .next_if(|letter| letter.is_whitespace() || *letter == ',')
            .is_some()
        {}
        let mut name = String::new();
        while let Some(letter) = letters.next_if(|letter| !matches!(letter, '=' | ',')) {
            name.push(letter);
        }
        if letters.next_if_eq(&'=').is_none() {
            return all;
        }
        let mut value = String::new();
        if letters.next_if_eq(&'"').is_some() {
            while let Some(letter) = letters.next().filter(|letter| *letter != '"') {
                value.extend(if letter == '\\' { letters.next() } else { Some(letter) });
            }
        } else {
            while let Some(letter) = letters.next_if(|letter| *letter != ',') {
                value.push(letter);
            }
        }
        all.push((name.trim().to_string(), value.trim().to_string()));
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn challenge(texts: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
        }
        Challenge::of(&headers)
    }

    #[test]
    fn both_ways_to_ask_are_read_and_tokens_are_preferred() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let token = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: "registry.docker.io".into(),
        };
        assert_eq!(challenge(&[hub]), Some(token.clone()));
        assert_eq!(challenge(&["Basic realm=\"x\"", hub]), Some(token));
        assert_eq!(challenge(&["basic realm=\"x\""]), Some(Challenge::Basic));
        let odd = challenge(&[r#"bearer  service = a\b , realm="https://t/\"q\"", error"#]);
        let Some(Challenge::Bearer { realm, service }) = odd else {
            panic!("{odd:?}")
        };
        assert_eq!((realm.as_str(), service.as_str()), ("https://t/\"q\"", "a\\b"));
    }

    #[test]
    fn what_asks_for_something_else_is_no_challenge() {
        for text in [
            "",
            "Negotiate",
            "Bearer",
            "Bearer service=\"x\"",
            "Bearer realm",
            "=,=,\"",
            "Bearer =\"\\",
        ] {
            assert_eq!(challenge(&[text]), None, "{text}");
        }
        assert_eq!(challenge(&[]), None);
    }
}
