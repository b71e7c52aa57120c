//! What becomes of a request's path before a route is looked for and the path is sent. Sources: what a normalisation
//! switches on, Istio's `listener_builder.go`; what that does, Envoy's `path_utility.cc`. Each row of the tests is what
//! Envoy 1.40 answers.

use std::borrow::Cow;

use crate::model::PathNormalization;

/// Whether the path cannot be normalised: Envoy answers 400 where it has an encoded zero byte.
pub(super) fn is_refused(how: PathNormalization, path: &str) -> bool {
    how != PathNormalization::None && split(path).0.contains("%00")
}

/// The path, with its query, as routes see it and as it is sent; what is no path, and what is refused, stays as it is.
pub(super) fn normalised(how: PathNormalization, asked: &str) -> Cow<'_, str> {
    // Istio switches Envoy's `http_reject_path_with_fragment` off.
    let asked = asked.split('#').next().unwrap_or_default();
    if how == PathNormalization::None || !asked.starts_with('/') || is_refused(how, asked) {
        return asked.into();
    }
    let (path, query) = split(asked);
    let merges = how >= PathNormalization::MergeSlashes;
    if is_normal(path, merges) {
        return asked.into();
    }
    let mut path = match how {
        PathNormalization::DecodeAndMergeSlashes => canonical(&with_slashes(path)),
        _ => canonical(path),
    };
    if merges {
        path = merged(&path);
    }
    path.push_str(query);
    path.into()
}

/// The path, and the query with its question mark.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.find('?').unwrap_or(path.len()))
}

/// True where nothing can have to be done.
fn is_normal(path: &str, merges: bool) -> bool {
    let stays = |byte: u8| !matches!(byte, b'%' | b'\\') && !is_escaped(byte);
    path.bytes().all(stays) && !path.contains("/.") && !(merges && path.contains("//"))
}

/// Encoded slashes and backslashes become such.
fn with_slashes(path: &str) -> String {
    let path = path.replace("%2F", "/").replace("%2f", "/");
    path.replace("%5C", "\\").replace("%5c", "\\")
}

/// The path as Chromium's URL parser has it, which Envoy uses: letters and digits are not encoded, what may not stand in a
/// path is; backslashes are slashes; dot segments are gone (RFC 3986, section 5.2.4).
fn canonical(path: &str) -> String {
    let path = encoded(path);
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// The path with what is encoded without need decoded, what needs it encoded, and slashes for backslashes.
fn encoded(path: &str) -> String {
    let mut made = String::with_capacity(path.len());
    let mut rest = path.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b'\\' => made.push('/'),
            b'%' => match decoded(rest.as_slice()) {
                Some(plain) => {
                    made.push(plain);
                    rest.nth(1);
                }
                None => made.push('%'),
            },
            byte if is_escaped(byte) => made.push_str(&format!("%{byte:02X}")),
            byte => made.push(char::from(byte)),
        }
    }
    made
}

/// The character that two hexadecimal digits stand for, where it means the same without them: RFC 3986, section 2.3.
fn decoded(after_percent: &[u8]) -> Option<char> {
    let digits = after_percent.get(..2)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let plain = char::from_u32(digit(digits[0])? * 16 + digit(digits[1])?)?;
    (plain.is_ascii_alphanumeric() || "-._~".contains(plain)).then_some(plain)
}

fn is_escaped(byte: u8) -> bool {
    !byte.is_ascii_graphic() || b"\"<>^`{|}".contains(&byte)
}

/// The path with one slash where several stand; one that is nothing but slashes becomes two of them.
fn merged(path: &str) -> String {
    if !path.contains("//") {
        return path.into();
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let end = if path.ends_with('/') { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None as Untouched};

    /// A path, and what BASE, MERGE_SLASHES and DECODE_AND_MERGE_SLASHES make of it.
    const SEEN: [[&str; 4]; 38] = [
        ["/a/../b", "/b", "/b", "/b"],
        ["/../../x", "/x", "/x", "/x"],
        ["/a/./b/..", "/a/", "/a/", "/a/"],
        ["/a\\b?q=/../", "/a/b?q=/../", "/a/b?q=/../", "/a/b?q=/../"],
        ["/a//b", "/a//b", "/a/b", "/a/b"],
        ["/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"],
        ["/a%2fb", "/a%2fb", "/a%2fb", "/a/b"],
        ["/a%5Cb", "/a%5Cb", "/a%5Cb", "/a/b"],
        ["/a%5cb", "/a%5cb", "/a%5cb", "/a/b"],
        ["/", "/", "/", "/"],
        ["/a/%2e%2E/b", "/b", "/b", "/b"],
        ["/a/%2e/b", "/a/b", "/a/b", "/a/b"],
        ["/.%2e/x", "/x", "/x", "/x"],
        ["/%61%7E%7e%41%2D%5f%30", "/a~~A-_0", "/a~~A-_0", "/a~~A-_0"],
        ["/a%20b", "/a%20b", "/a%20b", "/a%20b"],
        ["/a%2F%2e%2e%2Fb", "/a%2F..%2Fb", "/a%2F..%2Fb", "/b"],
        ["/a%5C..%5Cb", "/a%5C..%5Cb", "/a%5C..%5Cb", "/b"],
        ["/..%2f..%2fx", "/..%2f..%2fx", "/..%2f..%2fx", "/x"],
        ["//a", "//a", "/a", "/a"],
        ["//", "//", "//", "//"],
        ["/%2f%2f", "/%2f%2f", "/%2f%2f", "//"],
        ["/a//", "/a//", "/a/", "/a/"],
        [
            "/a///b?x=//y%2Fz",
            "/a///b?x=//y%2Fz",
            "/a/b?x=//y%2Fz",
            "/a/b?x=//y%2Fz",
        ],
        ["/a\\\\b", "/a//b", "/a/b", "/a/b"],
        ["/a//../b", "/a/b", "/a/b", "/a/b"],
        ["/a/.//..//b", "/a//b", "/a/b", "/a/b"],
        ["/a#f//b", "/a", "/a", "/a"],
        ["/a?x#y", "/a?x", "/a?x", "/a?x"],
        ["/a%252Fb", "/a%252Fb", "/a%252Fb", "/a%252Fb"],
        ["/%zz%a%", "/%zz%a%", "/%zz%a%", "/%zz%a%"],
        [
            "/a%c3%a9%23%3F%5B",
            "/a%c3%a9%23%3F%5B",
            "/a%c3%a9%23%3F%5B",
            "/a%c3%a9%23%3F%5B",
        ],
        [
            "/a|b\"<>^`{}",
            "/a%7Cb%22%3C%3E%5E%60%7B%7D",
            "/a%7Cb%22%3C%3E%5E%60%7B%7D",
            "/a%7Cb%22%3C%3E%5E%60%7B%7D",
        ],
        ["/%7C%22%3C%7b", "/%7C%22%3C%7b", "/%7C%22%3C%7b", "/%7C%22%3C%7b"],
        ["/a/.../..b", "/a/.../..b", "/a/.../..b", "/a/.../..b"],
        ["/a??b//%2F", "/a??b//%2F", "/a??b//%2F", "/a??b//%2F"],
        ["/a;b=1//c", "/a;b=1//c", "/a;b=1/c", "/a;b=1/c"],
        [
            "/a+b@c:d,e=$f&g!h*(i)'[j]",
            "/a+b@c:d,e=$f&g!h*(i)'[j]",
            "/a+b@c:d,e=$f&g!h*(i)'[j]",
            "/a+b@c:d,e=$f&g!h*(i)'[j]",
        ],
        ["*", "*", "*", "*"],
    ];

    #[test]
    fn paths_become_what_envoy_makes_of_them() {
        for [path, base, merged, decoded] in SEEN {
            for (how, expected) in [
                (Untouched, path.split('#').next().unwrap()),
                (Base, base),
                (MergeSlashes, merged),
                (DecodeAndMergeSlashes, decoded),
            ] {
                assert_eq!(normalised(how, path), expected, "{path} {how}");
                assert_eq!(normalised(how, expected), expected, "{path} {how}, again");
            }
        }
    }

    #[test]
    fn an_encoded_zero_byte_is_refused_where_paths_are_normalised() {
        for how in [Base, MergeSlashes, DecodeAndMergeSlashes] {
            assert!(is_refused(how, "/a%00b"), "{how}");
            assert_eq!(normalised(how, "/a/../%00"), "/a/../%00");
        }
        assert!(!is_refused(Untouched, "/a%00b"));
        assert!(!is_refused(Base, "/a?%00"));
    }
}
