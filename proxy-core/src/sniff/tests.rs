use proptest::prelude::*;

use super::*;

/// A ClientHello for `sni` in records of at most `record` bytes.
fn hello(sni: Option<&str>, record: usize) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    let mut extensions = vec![0, 23, 0, 0];
    if let Some(sni) = sni {
        let name = sni.len() as u16;
        extensions.extend(0u16.to_be_bytes());
        extensions.extend((name + 5).to_be_bytes());
        extensions.extend((name + 3).to_be_bytes());
        extensions.push(0);
        extensions.extend(name.to_be_bytes());
        extensions.extend(sni.as_bytes());
    }
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut handshake = vec![1, 0];
    handshake.extend((body.len() as u16).to_be_bytes());
    handshake.extend(body);
    let mut bytes = Vec::new();
    for part in handshake.chunks(record) {
        bytes.extend([0x16, 3, 1]);
        bytes.extend((part.len() as u16).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

fn http(bytes: &[u8]) -> Option<(bool, String, Option<String>)> {
    match sniff(bytes) {
        Sniffed::Http1(head) => Some((head.version_11, head.method, head.host)),
        _ => None,
    }
}

#[test]
fn a_client_hello_is_read_at_every_split_of_records_and_segments() {
    for record in [1, 2, 3, 5, 50, 1000] {
        let bytes = hello(Some("WWW.Google.com"), record);
        for end in 0..bytes.len() {
            assert_eq!(sniff(&bytes[..end]), Sniffed::NeedMore, "record {record}, {end} bytes");
        }
        assert_eq!(
            sniff(&bytes),
            Sniffed::Tls {
                sni: Some("www.google.com".into())
            }
        );
    }
    assert_eq!(sniff(&hello(None, 1000)), Sniffed::Tls { sni: None });
}

#[test]
fn a_request_is_read_at_every_split() {
    let bytes = b"GET /headers HTTP/1.1\r\nAccept: */*\r\nhost: httpbin.org:80\r\n";
    for end in 0..bytes.len() {
        assert_eq!(sniff(&bytes[..end]), Sniffed::NeedMore, "{end} bytes");
    }
    assert_eq!(http(bytes), Some((true, "GET".into(), Some("httpbin.org:80".into()))));
}

#[test]
fn request_lines_follow_envoys_inspector() {
    for (line, expected) in [
        ("GET / HTTP/1.1", Some(true)),
        ("FROB / HTTP/1.1", Some(true)),
        ("OPTIONS * HTTP/1.1", Some(true)),
        ("CONNECT x:443 HTTP/1.1", Some(true)),
        ("GET http://h/ HTTP/1.1", Some(true)),
        ("GET / HTTP/1.0", Some(false)),
        ("GET /", Some(false)),
        ("GET / HTTP/1.2", Some(false)),
        ("GET foo HTTP/1.1", None),
        ("\u{1}\u{2}", None),
        (" GET / HTTP/1.1", None),
        ("EHLO", None),
    ] {
        let bytes = format!("{line}\r\n\r\n");
        assert_eq!(
            http(bytes.as_bytes()).map(|(version, ..)| version),
            expected,
            "{line:?}"
        );
    }
    assert_eq!(
        http(b"GET / HTTP/1.1\nHost: a\n\n").unwrap().2.as_deref(),
        Some("a"),
        "a bare LF ends a line"
    );
    assert_eq!(
        http(b"GET http://b:1/x HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap()
            .2
            .as_deref(),
        Some("b:1")
    );
    assert_eq!(sniff(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Sniffed::Http2);
    assert_eq!(sniff(b"\x16\x02\x00\x00\x05hello"), Sniffed::Other);
    assert_eq!(sniff(&vec![b'a'; MAX_BYTES]), Sniffed::Other);
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        sniff(&bytes);
        let mut record = vec![0x16, 3, 1, 0, bytes.len() as u8, 1];
        record.extend(bytes);
        sniff(&record);
    }

    /// Whoever is asked again with more must not have said something else before.
    #[test]
    fn what_is_known_of_the_first_bytes_stays_with_those_that_follow(
        kind in 0..4_usize, rest in proptest::collection::vec(any::<u8>(), 0..60), flip in any::<prop::sample::Index>(),
        byte in any::<u8>()
    ) {
        let mut bytes = match kind {
            0 => hello(Some("www.google.com"), 50),
            1 => b"GET /headers HTTP/1.1\r\nAccept: */*\r\nhost: httpbin.org:80\r\n\r\n".to_vec(),
            2 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            _ => Vec::new(),
        };
        bytes.extend(rest);
        if !bytes.is_empty() {
            let at = flip.index(bytes.len());
            bytes[at] = byte;
        }
        let mut known = Sniffed::NeedMore;
        for end in 0..=bytes.len() {
            let now = sniff(&bytes[..end]);
            prop_assert!(known == Sniffed::NeedMore || now == known, "{:?}, then {:?} of {} bytes", known, now, end);
            known = now;
        }
    }
}

#[test]
fn a_line_that_is_no_request_is_none_when_it_arrives_at_once_either() {
    for bytes in [
        &b"GET /a\0 HTTP/1.1\r\n\r\n"[..],
        "GET /\u{e4} HTTP/1.1\r\n\r\n".as_bytes(),
    ] {
        assert_eq!(sniff(bytes), Sniffed::Other);
        assert_eq!(sniff(&bytes[..8]), Sniffed::Other);
    }
}
