//! Calls as they can be made on the mesh, and what the sites do about them.

use super::sender::{self, GRPC, TLS_HTTP2};
use crate::{seed::Seed, world::Call};

/// The call as it can be made, if it can.
pub fn fit(seed: &mut Seed, mut call: Call) -> Option<Call> {
    // What is sent to the capture port itself is in nobody's log.
    if call.port == 15001 {
        return None;
    }
    // Addresses of Services belong to the cluster.
    if call.address.starts_with("10.96.") {
        call.address = "10.3.0.1".into();
    }
    // A client sends no header without a value that it means.
    call.headers.retain(|_, value| !value.is_empty());
    if call.host.is_empty() {
        return Some(call);
    }
    if call.protocol == "http" && seed.once_in(3) {
        call.protocol = "http2".into();
    }
    let in_streams = call.protocol == "http2";
    if call.method == "GET" && seed.once_in(10) {
        call.method = "HEAD".into();
    }
    if in_streams && (call.method == "POST" || seed.once_in(3)) {
        to_grpc(seed, &mut call);
    }
    dress(seed, &mut call);
    let more: &[&str] = if in_streams { &IN_STREAMS } else { &[] };
    let doing = seed.text(&[&DOINGS[..], more].concat());
    if !doing.is_empty() {
        call.headers.insert("x-site".into(), doing);
    }
    (!in_streams || sender::target(&call).is_some()).then_some(call)
}

/// Gives a call more to do than a short request and its answer.
pub fn extend(seed: &mut Seed, call: &mut Call) {
    if !call.host.is_empty() && call.method != "CONNECT" && seed.once_in(20) {
        call.host = seed.text(&["[fd00::1]", "[fd00::1]:80"]);
    }
    match call.protocol.as_str() {
        "tls" if seed.once_in(3) => call.protocol = TLS_HTTP2.into(),
        "tcp" if seed.once_in(4) => set(call, "x-pause", "1.5"),
        "http" if call.method == "GET" && seed.once_in(5) => to_upgrade(seed, call),
        "http" | "http1.0" | "http2" => lengthen(seed, call),
        _ => {}
    }
}

/// Asks for another protocol, mostly for WebSocket's.
fn to_upgrade(seed: &mut Seed, call: &mut Call) {
    let protocol = seed.text(&["websocket", "websocket", "websocket", "WebSocket", "h2c", "other"]);
    set(call, "upgrade", &protocol);
    let connection = seed.text(&["Upgrade", "upgrade", "keep-alive, Upgrade"]);
    set(call, "connection", &connection);
    set(call, "sec-websocket-version", "13");
    set(call, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let doing = seed.text(&[
        "switch echo",
        "switch early",
        "switch leave",
        "fail 403 9",
        "fail 503 1",
    ]);
    if !seed.once_in(4) {
        set(call, "x-site", &doing);
    }
}

/// Large and slow bodies, interim answers, and bodies that wait to be asked for.
fn lengthen(seed: &mut Seed, call: &mut Call) {
    if call.method == "POST" && !call.headers.contains_key("content-type") && seed.once_in(2) {
        let body = seed.text(&[
            "70000",
            "300000 chunked",
            "1500000",
            "3000000 chunked",
            "9 slow",
            "9 chunked slow",
        ]);
        set(call, "x-body", &body);
        // What the upstream says to that comes to callers of HTTP/1.1 alone.
        if seed.once_in(2) && call.protocol != "http2" {
            set(call, "expect", "100-continue");
        }
    }
    if call.method != "CONNECT" && seed.once_in(4) {
        let doing = seed.text(&["hint", "hint", "bytes 70000", "bytes 3000000", "drip", "fail 417 1"]);
        set(call, "x-site", &doing);
    }
}

fn set(call: &mut Call, name: &str, value: &str) {
    call.headers.insert(name.into(), value.into());
}

/// Makes a call one of gRPC, mostly.
fn to_grpc(seed: &mut Seed, call: &mut Call) {
    if call.method == "CONNECT" || seed.once_in(4) {
        return;
    }
    call.method = "POST".into();
    let headers = [("content-type", GRPC), ("te", "trailers")];
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_string()));
    call.headers.extend(headers);
    if seed.once_in(3) {
        call.headers.insert("grpc-timeout".into(), seed.text(&["400m", "9S"]));
    }
}

/// Adds headers that a sidecar has to do with.
fn dress(seed: &mut Seed, call: &mut Call) {
    if !seed.once_in(3) {
        return;
    }
    let (name, value) = *seed.pick(&HEADERS);
    // HTTP/2 has no header that is about the connection.
    if call.protocol != "http2" || name != "connection" {
        call.headers.insert(name.into(), value.into());
    }
}

const HEADERS: [(&str, &str); 11] = [
    ("cookie", "a=1; b=2"),
    ("connection", "x-one"),
    ("te", "trailers"),
    ("expect", "100-continue"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-for", "10.1.2.3"),
    ("x-forwarded-proto", "https"),
    ("x-envoy-max-retries", "1"),
    ("x-envoy-upstream-rq-timeout-ms", "400"),
    ("server", "mine"),
    ("origin", "http://a.com"),
];

/// What the site does: mostly it answers.
const DOINGS: [&str; 13] = [
    "",
    "",
    "",
    "",
    "",
    "",
    "delay 0.7",
    "fail 503 1",
    "fail 503 9",
    "fail 409 1",
    "fail 204 9",
    "close 1",
    "break 9",
];

/// And what it may do besides where it was asked in HTTP/2.
const IN_STREAMS: [&str; 8] = [
    "trailers",
    "trailers",
    "grpc 0 1",
    "grpc 0 1",
    "grpc 5 9",
    "grpc 14 1",
    "grpc 14 9",
    "refuse 1",
];
