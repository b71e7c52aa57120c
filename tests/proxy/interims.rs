//! What comes before an answer, and what an answer turns a connection into: interim answers and WebSockets, as with Envoy
//! (`tests/fidelity/deep` compares them with it).

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::subject::{PATIENCE, Subject, entry, host, map, mesh};

const NAME: &str = "api.example.com";
const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nserver: own\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nseen";

/// A site that has each connection to itself, after the head of its first request.
fn site(play: impl Fn(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            read_until(&mut stream, "\r\n\r\n");
            play(&mut stream);
        }
    });
    address
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn sidecar_of(site: SocketAddr) -> Subject {
    let options = [host(NAME, "198.18.0.10"), map("198.18.0.10:80", site)].concat();
    Subject::start(&[mesh("REGISTRY_ONLY"), entry(NAME, 80, "HTTP")], &options)
}

/// A request with its first line's method and version, and further header lines.
fn ask(subject: &Subject, method: &str, version: &str, lines: &str) -> TcpStream {
    let mut stream = TcpStream::connect(subject.explicit).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    say(
        &mut stream,
        &format!("{method} http://{NAME}/ HTTP/{version}\r\nHost: {NAME}\r\n{lines}\r\n"),
    );
    stream
}

#[test]
fn a_websocket_passes_both_ways_and_its_row_says_who_ended_it() {
    let subject = sidecar_of(site(|stream| {
        say(stream, &format!("{SWITCHED}hello\n"));
        let line = read_until(stream, "\n");
        say(stream, &line);
        if line == "stay\n" {
            assert_eq!(
                stream.read(&mut [0]).unwrap_or(0),
                0,
                "it is told that the caller has left"
            );
        }
    }));
    let by_caller = " 101 DC downstream_remote_disconnect - \"-\" 5 11 ";
    let by_site = " 101 UC upstream_reset_after_response_started{connection_termination} - \"-\" 6 12 ";
    for (number, (line, ended)) in [("stay\n", by_caller), ("leave\n", by_site)].into_iter().enumerate() {
        let mut stream = ask(&subject, "GET", "1.1", WEBSOCKET);
        let head = read_until(&mut stream, "\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(
            head.contains("server: envoy\r\n") && !head.contains("x-envoy"),
            "{head}"
        );
        assert_eq!(read_until(&mut stream, "\n"), "hello\n");
        say(&mut stream, line);
        assert_eq!(read_until(&mut stream, "\n"), line);
        if line == "stay\n" {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        assert_eq!(read_to_end(stream), "");
        let row = &subject.log(number + 1)[number];
        assert!(row.contains(ended), "{row}");
    }
}

#[test]
fn a_websocket_that_is_not_given_ends_its_connection() {
    let refused = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    for (answer, body, details) in [
        (refused, "no", "via_upstream"),
        (OK, "", "websocket_handshake_unsuccessful"),
    ] {
        let subject = sidecar_of(site(|stream| say(stream, answer)));
        let text = read_to_end(ask(&subject, "GET", "1.1", WEBSOCKET));
        assert!(text.starts_with(&answer[..12]), "{text}");
        assert!(
            text.contains("connection: close\r\n") && !text.contains("x-envoy"),
            "{text}"
        );
        assert_eq!(text.split_once("\r\n\r\n").unwrap().1, body);
        let log = subject.log(1);
        assert!(log[0].contains(&format!(" - {details} - ")), "{}", log[0]);
    }
}

#[test]
fn one_of_several_protocols_is_not_taken() {
    let subject = sidecar_of(site(|stream| say(stream, SWITCHED)));
    let lines = "Connection: Upgrade\r\nUpgrade: websocket, other\r\n";
    let text = read_to_end(ask(&subject, "GET", "1.1", lines));
    assert!(text.starts_with("HTTP/1.1 403 "), "{text}");
}

#[test]
fn the_first_interim_answer_reaches_who_speaks_http_1_1() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nkeep-alive: 5\r\n\r\n";
    let subject = sidecar_of(site(move |stream| say(stream, &format!("{hint}{hint}{OK}"))));
    let text = read_to_end(ask(&subject, "GET", "1.1", "Connection: close\r\n"));
    let told = "HTTP/1.1 103 Unknown\r\nlink: </a.css>\r\n\r\n";
    assert!(text.starts_with(&format!("{told}HTTP/1.1 200 OK\r\n")), "{text}");
    let text = read_to_end(ask(&subject, "GET", "1.0", ""));
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") || text.starts_with("HTTP/1.0 200 OK\r\n"),
        "{text}"
    );
}

#[test]
fn the_upstream_alone_asks_for_a_body_that_waits() {
    const WAITS: &str = "Expect: 100-continue\r\nContent-Length: 4\r\n";
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let refusing = sidecar_of(site(|stream| {
        say(stream, "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "no body comes");
    }));
    let text = read_to_end(ask(&refusing, "POST", "1.1", WAITS));
    assert!(
        text.starts_with("HTTP/1.1 417 ") && text.contains("connection: close\r\n"),
        "{text}"
    );
    let asking = sidecar_of(site(|stream| {
        say(stream, CONTINUE);
        assert_eq!(read_until(stream, "text"), "text");
        say(stream, OK);
    }));
    let mut stream = ask(&asking, "POST", "1.1", WAITS);
    assert_eq!(read_until(&mut stream, "\r\n\r\n"), CONTINUE);
    say(&mut stream, "text");
    assert!(read_until(&mut stream, "seen").starts_with("HTTP/1.1 200 OK\r\n"));
    // Who does not wait is served too, by an upstream that never asks.
    let silent = sidecar_of(site(|stream| {
        assert_eq!(read_until(stream, "text"), "text");
        say(stream, OK);
    }));
    let mut stream = ask(&silent, "POST", "1.1", WAITS);
    say(&mut stream, "text");
    assert!(read_until(&mut stream, "seen").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn who_is_told_of_an_answer_is_told_how_it_ended() {
    let subject = sidecar_of(site(|stream| say(stream, "HTTP/1.1 103 Early Hints\r\n\r\n")));
    let text = read_to_end(ask(&subject, "GET", "1.1", "Connection: close\r\n"));
    assert!(text.starts_with("HTTP/1.1 103 Unknown\r\n\r\nHTTP/1.1 503 "), "{text}");
    let log = subject.log(1);
    let ended = " 503 UC upstream_reset_after_response_started{connection_termination} ";
    assert!(log[0].contains(ended), "{}", log[0]);
}
