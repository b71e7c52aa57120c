//! Host names and wildcards.
//!
//! Envoy: an exact name beats every wildcard, a longer wildcard suffix beats a shorter one, `*.a.b` needs at least one
//! character in place of the star and matches any number of labels.

use std::{net::IpAddr, sync::Arc};

use super::names::{NameMap, Named};

/// Longest name that is looked up; no declared host is longer (DNS ends at 255).
const MAX_HOST: usize = 255;

/// A map from host patterns to values; the first value for a pattern stays.
#[derive(Debug, Clone)]
pub(super) struct HostMap<T> {
    exact: NameMap<Pattern<T>>,
    /// `*.a.b` by `.a.b`.
    dotted: NameMap<Pattern<T>>,
    /// Suffixes that do not start at a dot (`*-api.a.b`), longest first.
    partial: Vec<Pattern<T>>,
}

/// The value of a name, or of all that end in it.
#[derive(Debug, Clone)]
struct Pattern<T> {
    name: Arc<str>,
    value: T,
}

impl<T> Named for Pattern<T> {
    fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self {
            exact: NameMap::default(),
            dotted: NameMap::default(),
            partial: Vec::new(),
        }
    }
}

impl<T: Clone> HostMap<T> {
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.dotted.is_empty() && self.partial.is_empty()
    }

    /// Makes room for this many names.
    pub fn reserve(&mut self, names: usize) {
        self.exact.reserve(names);
    }

    /// Adds `pattern`; false when it was there already.
    pub fn insert(&mut self, pattern: impl Into<Arc<str>>, value: T) -> bool {
        let pattern = shared_lower_case(&pattern.into());
        match pattern.strip_prefix('*') {
            None => self.exact.add(Pattern { name: pattern, value }),
            Some(suffix) if suffix.starts_with('.') => self.dotted.add(Pattern {
                name: suffix.into(),
                value,
            }),
            Some(suffix) => {
                let is_new = self.partial.iter().all(|known| &*known.name != suffix);
                if is_new {
                    let longer = |known: &Pattern<T>| known.name.len() >= suffix.len();
                    let at = self.partial.partition_point(longer);
                    let name = suffix.into();
                    self.partial.insert(at, Pattern { name, value });
                }
                is_new
            }
        }
    }

    /// The names, where there are no wildcards among them.
    pub fn names(&self) -> Option<impl Iterator<Item = &str>> {
        let plain = self.dotted.is_empty() && self.partial.is_empty();
        plain.then(|| self.exact.iter().map(Named::name))
    }

    /// Puts what `new` has in the place of what `old` has; `None`, and all is lost, where that is more than plain names, or
    /// where others have a part in them.
    pub fn replace(&mut self, old: &Self, new: &Self) -> Option<()> {
        for name in old.names()? {
            self.exact.remove(name)?;
        }
        let is_plain = new.names().is_some();
        (is_plain && new.exact.iter().all(|known| self.exact.add(known.clone()))).then_some(())
    }

    /// The value of this very pattern.
    pub fn exactly(&self, pattern: &str) -> Option<&T> {
        let pattern = lower_case(pattern);
        let found = match pattern.strip_prefix('*') {
            None => self.exact.get(&pattern),
            Some(suffix) if suffix.starts_with('.') => self.dotted.get(suffix),
            Some(suffix) => self.partial.iter().find(|known| &*known.name == suffix),
        };
        found.map(|known| &known.value)
    }

    /// The value for a server name. Envoy keeps a wildcard without its star among the exact names, so that a name which
    /// begins with a dot is one. Does not allocate.
    pub fn for_server_name(&self, name: &str) -> Option<&T> {
        let by_letter = self.exact.get(name).or_else(|| self.dotted.get(name));
        by_letter.map(|known| &known.value).or_else(|| self.get(name))
    }

    /// The value of the most specific pattern that matches `host`, whatever its case. Does not allocate.
    pub fn get(&self, host: &str) -> Option<&T> {
        let mut buffer = [0; MAX_HOST];
        let host = lower(host, &mut buffer)?;
        if let Some(known) = self.exact.get(host) {
            return Some(&known.value);
        }
        let dotted = (!self.dotted.is_empty())
            .then(|| {
                host.match_indices('.')
                    .filter(|(at, _)| *at > 0)
                    .find_map(|(at, _)| self.dotted.get(&host[at..]))
            })
            .flatten();
        let partial = self
            .partial
            .iter()
            .find(|known| host.len() > known.name.len() && host.ends_with(&*known.name));
        let found = match (dotted, partial) {
            (Some(a), Some(b)) if a.name.len() < b.name.len() => Some(b),
            (a, b) => a.or(b),
        };
        found.map(|known| &known.value)
    }
}

/// Lower-cases ASCII into `buffer`; `None` when the name is longer than any declared host can be.
fn lower<'b>(host: &'b str, buffer: &'b mut [u8; MAX_HOST]) -> Option<&'b str> {
    if host.len() > MAX_HOST {
        return None;
    }
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(host);
    }
    let target = &mut buffer[..host.len()];
    target.copy_from_slice(host.as_bytes());
    target.make_ascii_lowercase();
    // Lower-casing ASCII bytes keeps UTF-8 valid, so this is always `Some`.
    std::str::from_utf8(target).ok()
}

/// The host in lower case, as routes and virtual hosts name it.
pub fn lower_case(host: &str) -> String {
    host.to_ascii_lowercase()
}

/// The same, shared where it is in lower case already, as nearly every host is.
pub fn shared_lower_case(host: &Arc<str>) -> Arc<str> {
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => lower_case(host).into(),
        false => host.clone(),
    }
}

/// The host of an authority without its port. Envoy strips any `:...`, IPv6 literals keep their brackets.
pub fn strip_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// The host and port that a request's authority, or a server name, asks for; `port` where it names none.
pub fn asked(authority: &str, port: u16) -> (&str, u16) {
    let host = strip_port(authority);
    let own = authority[host.len()..].strip_prefix(':');
    (host, own.and_then(|own| own.parse().ok()).unwrap_or(port))
}

/// A name that a ServiceEntry may declare: DNS labels, the last one not all digits.
pub fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= MAX_HOST && host.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Istio: every name that `narrow` matches is matched by `wide`. Letters count as they are written.
pub fn covers(wide: &str, narrow: &str) -> bool {
    match (wide.strip_prefix('*'), narrow.strip_prefix('*')) {
        (None, _) => wide == narrow,
        (Some(suffix), None) => narrow.ends_with(suffix),
        (Some(suffix), Some(rest)) => rest.ends_with(suffix),
    }
}

/// Istio: some name is matched by both.
pub fn overlap(a: &str, b: &str) -> bool {
    covers(a, b) || covers(b, a)
}

/// A host as written in an object of `namespace`: a name without a dot is a Service of that namespace, but `*` and
/// addresses are what they are.
pub fn qualify(host: &str, namespace: &str) -> String {
    if host.contains('.') || host == "*" || host.parse::<IpAddr>().is_ok() {
        host.to_string()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_wins() {
        let mut map = HostMap::default();
        for pattern in ["a.com", "*.com", "*.b.com", "*-api.b.com", "*.Wikipedia.org"] {
            assert!(map.insert(pattern, pattern));
        }
        assert!(!map.insert("A.com", "later"), "the first stays");
        let cases = [
            ("a.com", Some("a.com")),
            ("A.COM", Some("a.com")),
            ("x.com", Some("*.com")),
            ("x.y.b.com", Some("*.b.com")),
            ("x-api.b.com", Some("*-api.b.com")),
            ("b.com", Some("*.com")),
            (".com", None),
            ("com", None),
            ("en.wikipedia.org", Some("*.Wikipedia.org")),
            ("wikipedia.org", None),
            ("a.com.", None),
            ("", None),
        ];
        for (host, expected) in cases {
            assert_eq!(map.get(host).copied(), expected, "{host:?}");
        }
        assert_eq!(map.get(&"a".repeat(300)), None);
    }

    #[test]
    fn a_port_is_stripped_and_brackets_stay() {
        for (authority, host) in [
            ("a.com:80", "a.com"),
            ("a.com", "a.com"),
            ("a:abc", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(strip_port(authority), host);
        }
    }

    #[test]
    fn a_port_that_is_asked_for_goes_before_that_of_the_cluster() {
        for (authority, expected) in [
            ("a.com", ("a.com", 80)),
            ("a.com:8080", ("a.com", 8080)),
            ("a.com:abc", ("a.com", 80)),
            ("[::1]", ("[::1]", 80)),
            ("[::1]:81", ("[::1]", 81)),
        ] {
            assert_eq!(asked(authority, 80), expected);
        }
    }

    #[test]
    fn wildcards_cover_any_depth_but_not_the_parent() {
        assert!(covers("*.foo.com", "a.b.foo.com"));
        assert!(covers("*.foo.com", "*.b.foo.com"));
        assert!(covers("*", "foo.com"));
        assert!(!covers("*.foo.com", "foo.com"));
        assert!(!covers("a.foo.com", "*.foo.com"));
        assert!(overlap("a.foo.com", "*.foo.com"));
    }
}
