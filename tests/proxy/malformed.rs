//! What is no request to Envoy's parser, as it was answered and logged by Envoy 1.40.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    actions::{TO_HTTPBIN, routed},
    site,
    subject::{PATIENCE, Subject, entry, host, map, mesh, through},
};

/// All that comes back for `sent`, of which the sidecar ends the connection.
fn answers(subject: &Subject, sent: &str) -> String {
    let mut stream = TcpStream::connect(subject.explicit).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers
}

#[test]
fn what_is_no_request_to_envoy_is_answered_in_its_turn_logged_and_kept_from_the_site() {
    let (subject, site) = routed(&format!("[{{{TO_HTTPBIN}}}]"));
    let good = "GET http://httpbin.org/status/204 HTTP/1.1\r\nHost: httpbin.org\r\n\r\n";
    for (number, (bad, status, text, details)) in [
        (
            "POST / HTTP/1.1\r\nHost: httpbin.org\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400 Bad Request",
            "Bad Request",
            "http1.content_length_and_chunked_not_allowed",
        ),
        (
            "POST / HTTP/1.1\r\nHost: httpbin.org\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
            "400 Bad Request",
            "Bad Request",
            "http1.codec_error",
        ),
        (
            "POST / HTTP/1.1\r\nHost: httpbin.org\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "501 Not Implemented",
            "Not Implemented",
            "http1.invalid_transfer_encoding",
        ),
        (
            "OWN / HTTP/1.1\r\nHost: httpbin.org\r\n\r\n",
            "400 Bad Request",
            "Bad Request",
            "http1.codec_error",
        ),
        (
            "GET / HTTP/1.1\r\nHost: httpbin.org\r\nConnection: x-forwarded-for\r\n\r\n",
            "400 Bad Request",
            "Bad Request",
            "http1.connection_header_rejected",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let answers = answers(&subject, &format!("{good}{bad}{good}"));
        let (first, second) = answers.split_once("\r\n\r\n").unwrap();
        assert!(first.starts_with("HTTP/1.1 204 "), "{answers}");
        assert!(second.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answers}");
        assert!(second.contains("\r\nconnection: close\r\n"), "{answers}");
        assert!(second.ends_with(&format!("\r\n\r\n{text}")), "{answers}");
        let rows = subject.log(2 * (number + 1));
        let (code, length) = (&status[..3], text.len());
        let row = format!("\"- - HTTP/1.1\" {code} DPE {details} - \"-\" 0 {length} ");
        assert!(rows[2 * number + 1].contains(&row), "{:?}", rows.last());
    }
    assert!(
        site.heads().iter().all(|head| head.starts_with("GET /status/204 ")),
        "{:?}",
        site.heads()
    );
}

#[test]
fn what_is_no_body_to_envoy_is_the_fault_of_who_sends_it() {
    let (subject, _site) = routed(&format!("[{{{TO_HTTPBIN}}}]"));
    let sent = "POST http://httpbin.org/ HTTP/1.1\r\nHost: httpbin.org\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n";
    let answer = answers(&subject, sent);
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("\r\nconnection: close\r\n\r\nBad Request"), "{answer}");
    let row = &subject.log(1)[0];
    assert!(
        row.contains("\"POST / HTTP/1.1\" 400 DPE http1.codec_error - \"-\" 0 11 "),
        "{row}"
    );
}

#[test]
fn a_target_names_no_user_to_the_site_and_one_without_a_path_has_no_route() {
    let (subject, site) = routed(&format!("[{{{TO_HTTPBIN}}}]"));
    let ask = |target: &str| {
        answers(
            &subject,
            &format!("GET {target} HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n"),
        )
    };
    assert!(ask("http://user:word@httpbin.org/x").starts_with("HTTP/1.1 200 "));
    assert!(
        site.last_head().contains("\r\nhost: httpbin.org\r\n"),
        "{}",
        site.last_head()
    );
    subject.log(1);
    assert!(ask("http://httpbin.org?x=1").starts_with("HTTP/1.1 404 "));
    assert!(subject.log(2)[1].contains("\"GET ?x=1 HTTP/1.1\" 404 - absolute_path_rejected "));
    assert_eq!(site.heads().len(), 1);
}

#[test]
fn what_is_no_answer_to_envoy_is_a_fault_of_the_upstream() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "no answer at all\r\n\r\n",
    ] {
        let site = site::proxy(answer);
        let options = [host("httpbin.org", "198.18.0.10"), map("198.18.0.10:80", site.address)].concat();
        let subject = Subject::start(&[mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")], &options);
        let got = through(&subject, &["http://httpbin.org/"]);
        let words = "upstream connect error or disconnect/reset before headers. reset reason: protocol error";
        assert_eq!((got.status(), got.body.as_str()), (502, words), "{answer:?}");
        let row = &subject.log(1)[0];
        let why = "502 UPE upstream_reset_before_response_started{protocol_error} ";
        assert!(row.contains(why), "{answer:?}: {row}");
    }
}

#[test]
fn folded_lines_of_an_answer_are_one_and_what_it_names_of_its_connection_is_passed_on_without_that() {
    let site = site::proxy(
        "HTTP/1.1 200 OK\r\nConnection: x-own, content-length\r\nX-Own: 1\r\n\t 2\r\nContent-Length: 2\r\n\r\nab",
    );
    let options = [host("httpbin.org", "198.18.0.10"), map("198.18.0.10:80", site.address)].concat();
    let subject = Subject::start(&[mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")], &options);
    let got = through(&subject, &["http://httpbin.org/"]);
    assert_eq!((got.status(), got.body.as_str()), (200, "ab"));
    assert!(
        got.head.contains("\r\nx-own: 1 2\r\n") && !got.head.contains("connection:"),
        "{}",
        got.head
    );
}
