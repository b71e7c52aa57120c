use hyper::Uri;
use proptest::prelude::*;

use super::{
    pieces::{assert_heads_read_the_same, read},
    rules::MAX_LINES,
    *,
};

const HOST: &str = "Host: a.test\r\n";
const GET: &str = "GET /first HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// What `sent` is read as, however it arrives.
#[track_caller]
fn is_read_as(sent: &str, expected: &str) {
    let sizes = [1, 2, 3, 5, 8, 64, 4096, 1 << 20];
    for size in sizes.into_iter().filter(|size| sent.len() / size < 2_000) {
        assert_eq!(
            String::from_utf8(read(sent.as_bytes(), size)).unwrap(),
            expected,
            "{sent:?} in pieces of {size}"
        );
    }
}

#[test]
fn requests_that_envoy_takes_are_read_as_they_are_sent() {
    for sent in [
        GET.into(),
        format!("\r\n{GET}{GET}"),
        format!("POST /a HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nFOO /{GET}"),
        format!("POST /a HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n{GET}"),
        format!(
            "POST /a HTTP/1.1\r\n{HOST}Transfer-Encoding: Chunked\r\n\r\n4;x=y\r\nFOO \r\nA\r\n0123456789\r\n0\r\nX: 1\r\n\r\n{GET}"
        ),
        format!("GET http://a.test:80/x HTTP/1.1\r\n{HOST}\r\n"),
        format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n"),
        format!("CONNECT a.test:443 HTTP/1.1\r\n{HOST}\r\n\x16\x03no HTTP any more\r\n\r\n"),
        format!(
            "GET /chat HTTP/1.1\r\n{HOST}Connection: Upgrade, X-Forwarded-For\r\nUpgrade: websocket\r\n\r\nframes\r\n\r\n"
        ),
        format!("GET /a HTTP/1.1\r\n{HOST}Connection: keep-alive, x-own, te\r\n\r\n{GET}"),
        // What the caller did not end is no more than that.
        format!("{GET}GET /secon"),
        format!("POST /a HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nFO"),
    ] {
        is_read_as(&sent, &sent);
    }
}

#[test]
fn a_head_that_envoy_refuses_is_answered_in_its_turn_and_nothing_behind_it_is_read() {
    for (sent, why) in [
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            Refused::LengthAndChunked,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n".into(),
            Refused::LengthAndChunked,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(),
            Refused::Encoding,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            Refused::Encoding,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n".into(),
            Refused::Encoding,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n".into(),
            Refused::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n".into(),
            Refused::Malformed,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".into(),
            Refused::Malformed,
        ),
        ("GET / HTTP/1.1\r\nX : 1\r\n\r\n".into(), Refused::Malformed),
        ("GET / HTTP/1.1\r\nX: \x01\r\n\r\n".into(), Refused::Characters),
        ("get / HTTP/1.1\r\n\r\n".into(), Refused::Malformed),
        ("FOO / HTTP/1.1\r\n\r\n".into(), Refused::Malformed),
        ("GET * HTTP/1.1\r\n\r\n".into(), Refused::Url),
        ("CONNECT a.test HTTP/1.1\r\n\r\n".into(), Refused::Url),
        ("CONNECT u@a.test:80 HTTP/1.1\r\n\r\n".into(), Refused::Url),
        ("GET ftp://a.test/ HTTP/1.1\r\n\r\n".into(), Refused::Scheme),
        ("GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n".into(), Refused::Authority),
        (
            "GET / HTTP/1.1\r\nConnection: close, X-Forwarded-For\r\n\r\n".into(),
            Refused::Connection,
        ),
        (
            "GET / HTTP/1.1\r\nConnection: a,b,c,d,e,f,g,h,i,j\r\n\r\n".into(),
            Refused::Connection,
        ),
        ("GET / HTTP/1.2\r\n\r\n".into(), Refused::Version),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_LINES + 1)),
            Refused::TooManyLines,
        ),
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(MAX_HEAD)),
            Refused::TooLarge,
        ),
        (format!("GET /{}", "a".repeat(MAX_HEAD)), Refused::TooLarge),
        // Nobody but us sends the stand-in.
        (Refused::Malformed.stand_in(), Refused::Malformed),
    ] {
        let sent = format!("{GET}{sent}{GET}");
        is_read_as(&sent, &format!("{GET}{}", why.stand_in()));
    }
}

#[test]
fn the_largest_head_is_as_large_as_envoys() {
    let head = |size| {
        let rest = format!("GET / HTTP/1.1\r\n{HOST}X: \r\n\r\n").len();
        format!("GET / HTTP/1.1\r\n{HOST}X: {}\r\n\r\n", "a".repeat(size - rest))
    };
    is_read_as(&head(60 * 1024), &head(60 * 1024));
    is_read_as(&head(60 * 1024 + 1), &Refused::TooLarge.stand_in());
}

#[test]
fn a_stand_in_says_why_the_head_was_refused() {
    for why in Refused::ALL {
        let target = why.stand_in().split(' ').nth(1).unwrap().parse::<Uri>().unwrap();
        let request = |method, uri| Request::builder().method(method).uri(uri).body(()).unwrap();
        assert_eq!(refused(&request(Method::GET, target.clone())), Some(why));
        assert_eq!(refused(&request(Method::CONNECT, target)), None);
    }
    let other = Request::get("http://refused:1/").body(()).unwrap();
    assert_eq!(refused(&other), None);
}

/// What requests are made of, well and badly.
fn fragments() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 24] = [
        "GET / HTTP/1.1\r\n",
        "POST /a HTTP/1.1\r\n",
        "CONNECT a.test:443 HTTP/1.1\r\n",
        "FOO / HTTP/1.1\r\n",
        "GET http://a.test/ HTTP/1.0\r\n",
        "GET / HTTP/2.0\r\n",
        HOST,
        "Content-Length: 3\r\n",
        "Content-Length: +3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Connection: x-forwarded-for\r\n",
        " folded\r\n",
        "\r\n",
        "\n",
        "\r",
        "abc",
        "3\r\nabc\r\n",
        "3;x=y\nabc\r\n",
        "0\r\n\r\n",
        "0\r\nX: 1\r\n\r\n",
        "ffffffffffffffffff\r\n",
        ":",
    ];
    let known = proptest::sample::select(&KNOWN[..]).prop_map(str::to_string);
    prop_oneof![9 => known, 1 => "[ -~\\r\\n]{0,8}"]
}

proptest! {
    #[test]
    fn heads_are_the_same_however_their_bytes_arrive(
        parts in proptest::collection::vec(fragments(), 0..16),
        size in 1_usize..40,
    ) {
        assert_heads_read_the_same(parts.concat().as_bytes(), size);
    }
}
