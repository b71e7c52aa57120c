//! All that is seen of a call: by the caller, by the site, and in the access log; in a form that is the same for the same
//! doing. Left open is what differs from run to run: times, ids, the callers' addresses and ports, sizes of handshakes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::sender::{Body, Seen, TLS_HTTP2};
use crate::world::Call;

/// Fields by name.
pub type Sighting = BTreeMap<String, Value>;

/// How far two sidecars' timeouts may lie apart.
const APART: u64 = 50;

/// Columns of the access log, in order; `-` is one that is not compared.
const COLUMNS: [&str; 22] = [
    "-",
    "request",
    "status",
    "flags",
    "details",
    "termination",
    "failure",
    "received",
    "sent",
    "-",
    "service time",
    "forwarded for",
    "user agent",
    "request id",
    "authority",
    "upstream",
    "cluster",
    "upstream local",
    "local",
    "remote",
    "server name",
    "route",
];
/// What stands before a TLS library's words.
const TLS_FAILURE: &str = "TLS_error:";
/// The request of a byte stream.
const NO_REQUEST: &str = "\"- - -\"";
const REQUEST: usize = 1;
const FLAGS: usize = 3;
const RECEIVED: usize = 7;
const SENT: usize = 8;
const SIZES: [usize; 2] = [RECEIVED, SENT];
const DURATION: usize = 9;
const REQUEST_ID: usize = 13;
const REMOTE: usize = 19;

/// Of a longer body that something ends before all of it has passed, how much had is left to chance.
const PIECE: usize = 64 * 1024;

/// One row of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<String>);

impl Row {
    /// Takes a line of Istio's default format apart.
    pub fn parse(line: &str) -> Option<Self> {
        let (mut tokens, mut token, mut quoted) = (Vec::new(), String::new(), false);
        for letter in line.chars() {
            if letter == ' ' && !quoted {
                tokens.push(std::mem::take(&mut token));
                continue;
            }
            quoted ^= letter == '"';
            token.push(letter);
        }
        tokens.push(token);
        (tokens.len() == COLUMNS.len()).then_some(Self(tokens))
    }

    /// True where it is about the call `name` from `port`. Where an `x-forwarded-for` stands for the caller, its port is
    /// not told; such a call has its name for a request id.
    pub fn is_about(&self, name: &str, port: u16) -> bool {
        let from = self.0[REMOTE].rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        from == Some(port) || self.0[REQUEST_ID].trim_matches('"') == name
    }

    fn duration(&self) -> u64 {
        self.0[DURATION].parse().unwrap_or(0)
    }
}

/// What was seen on one side.
#[derive(Debug, Default)]
pub struct Sightings {
    /// By the caller.
    pub seen: Seen,
    /// By the sites: what `sites.py` wrote down.
    pub sites: Vec<Value>,
    /// In the access log.
    pub rows: Vec<Row>,
}

impl Sightings {
    /// The fields that are compared; `address` is the pod's. Of a byte stream of a protocol with frames of its own how much
    /// there was is left open.
    pub fn fields(&mut self, address: &str, call: &Call) -> Sighting {
        // A copy arrives before or after what it is a copy of.
        self.sites.sort_by_key(|site| {
            let of = |name| header(site, name).unwrap_or_default();
            let (at, line) = (site["at"].to_string(), site["line"].to_string());
            (at, of("x-envoy-attempt-count"), of("x-envoy-internal"), line)
        });
        let mut fields = Sighting::new();
        let mut set = |name: &str, value: Value| fields.insert(name.to_string(), value);
        set("outcome", json!(self.seen.end));
        let mut head = self.seen.head.iter();
        set("answer", json!(head.next()));
        // In which order different headers stand says nothing.
        // Nor does how a body would be sent that is not.
        let says = |line: &&String| call.method != "HEAD" || *line != "transfer-encoding: chunked";
        let mut headers: Vec<String> = head.filter(says).map(|line| masked_header(line)).collect();
        headers.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_ascii_lowercase());
        set("answer's headers", json!(headers));
        // Where one side speaks HTTP/2 these are not compared, see DIFFERENCES.md.
        let in_streams = |site: &Value| site["line"].as_str().is_some_and(|line| line.ends_with("HTTP/2"));
        if !self.sites.iter().any(in_streams) {
            set("interim answers", json!(self.seen.interim));
        }
        set("answer's body", json!(body(&self.seen)));
        set("answer's trailers", json!(self.seen.trailers));
        set("attempts", json!(self.sites.len()));
        for key in ["at", "line", "body", "trailers", "certificate"] {
            set(
                &format!("site's {key}"),
                self.sites.iter().map(|site| site[key].clone()).collect(),
            );
        }
        // The last dot of a name is not compared, see DIFFERENCES.md.
        let undotted = |sni: &Value| sni.as_str().map(|name| name.trim_end_matches('.').to_string());
        set(
            "site's sni",
            self.sites.iter().map(|site| json!(undotted(&site["sni"]))).collect(),
        );
        let proxied = |site: &Value| json!(site["proxied"].as_str().map(|header| masked_proxied(header, address)));
        set("site's PROXY header", self.sites.iter().map(proxied).collect());
        let headers: Value = self
            .sites
            .iter()
            .enumerate()
            .map(|(attempt, site)| site_headers(attempt, site, address))
            .collect();
        set("site's headers", headers);
        set("log rows", json!(self.rows.len()));
        if let Some(row) = self.rows.first() {
            let is_stream = row.0[REQUEST] == NO_REQUEST;
            let is_framed = matches!(&*call.protocol, "tls" | TLS_HTTP2) || call.protocol == "http2" && is_stream;
            let asked = Body::of(call).size();
            for (index, column) in COLUMNS.iter().enumerate().filter(|(_, column)| **column != "-") {
                let token = &row.0[index];
                let size = token.parse().unwrap_or(0);
                let is_part = match index {
                    RECEIVED => (PIECE..asked).contains(&size),
                    SENT => self.seen.end != "answered" && size >= PIECE,
                    _ => false,
                };
                let token = if is_part { "part" } else { token };
                set(
                    &format!("log's {column}"),
                    json!(masked(index, token, address, is_framed)),
                );
            }
        }
        fields
    }
}

/// Where two sightings differ: the field, Istio's value, ours.
pub fn differences(istio: &Sightings, egret: &Sightings, fields: (Sighting, Sighting)) -> Vec<(String, Value, Value)> {
    // An upgrade that goes out in HTTP/2 is not compared, see DIFFERENCES.md.
    if istio.sites.iter().any(|site| header(site, ":protocol").is_some()) {
        return Vec::new();
    }
    let (left, right) = fields;
    let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
    let mut found: Vec<_> = names
        .filter_map(|name| {
            let side = |fields: &Sighting| fields.get(name).cloned().unwrap_or(Value::Null);
            let (istio, egret) = (side(&left), side(&right));
            (istio != egret).then_some((name.clone(), istio, egret))
        })
        .collect();
    if let (Some(istio), Some(egret)) = (istio.rows.first(), egret.rows.first())
        && istio.0[FLAGS] == egret.0[FLAGS]
        && istio.0[FLAGS].contains("UT")
        && istio.duration().abs_diff(egret.duration()) > APART
    {
        found.push(("timeout".into(), json!(istio.duration()), json!(egret.duration())));
    }
    found
}

fn masked(index: usize, token: &str, address: &str, is_framed: bool) -> String {
    let plain = token.trim_matches('"');
    match COLUMNS[index] {
        _ if plain == "-" => token.to_string(),
        "service time" => "MS".into(),
        "request id" => "ID".into(),
        "upstream local" | "remote" if plain.starts_with(address) => "POD".into(),
        _ if is_framed && SIZES.contains(&index) && plain != "0" => "N".into(),
        "failure" | "details" => without_reason(token),
        _ => token.to_string(),
    }
}

/// The body of an answer as it was seen; of one that was cut without its length and hash, where it is long.
fn body(seen: &Seen) -> &str {
    let size = seen.body.split_once(" bytes, ").and_then(|(size, _)| size.parse().ok());
    match seen.end != "answered" && size.is_some_and(|size: usize| size >= PIECE) {
        true => "part",
        false => &seen.body,
    }
}

/// A header of the PROXY protocol without the pod's address and the caller's port.
fn masked_proxied(header: &str, address: &str) -> String {
    let word = |word: &str| match word.strip_prefix(address) {
        Some(_) => "POD".to_string(),
        None => word.to_string(),
    };
    header.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A text without what a TLS library said of its failure.
fn without_reason(text: &str) -> String {
    let Some((before, said)) = text.split_once(TLS_FAILURE) else {
        return text.to_string();
    };
    let end = said.find(['}', '"']).unwrap_or(said.len());
    format!("{before}{TLS_FAILURE}...{}", &said[end..])
}

/// A cookie without the value that a sidecar made up of the caller's address and port: 16 digits in quotes.
fn without_own_value(line: &str) -> String {
    let mut parts: Vec<&str> = line.split('"').collect();
    let is_own = |value: &&mut &str| value.len() == 16 && value.chars().all(|digit| digit.is_ascii_hexdigit());
    if let Some(value) = parts.get_mut(1).filter(is_own) {
        *value = "OWN";
    }
    parts.join("\"")
}

/// A response's header without what a clock gave.
fn masked_header(line: &str) -> String {
    let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    match name.as_str() {
        "date" | "x-envoy-upstream-service-time" => format!("{name}: ..."),
        "set-cookie" => without_own_value(line),
        _ => without_seconds(line),
    }
}

/// A text without the seconds since 1970 that edits of headers wrote into it: ten digits, for the next two centuries.
fn without_seconds(text: &str) -> String {
    let mut masked = String::new();
    for piece in text.split_inclusive(|letter: char| !letter.is_ascii_digit()) {
        let digits = piece.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        match digits.len() {
            10 => masked.push_str(&piece.replace(digits, "SECONDS")),
            _ => masked.push_str(piece),
        }
    }
    masked
}

/// The value of a header, as it arrived.
fn header(site: &Value, name: &str) -> Option<String> {
    let mut lines = site["headers"].as_array().into_iter().flatten();
    let line = lines.find(|line| line[0] == name)?;
    Some(line[1].to_string())
}

/// The headers of an arrival by name, lines of one name in their order. What is left of the time tells of the clock, after the first attempt;
/// a copy names the pod.
fn site_headers(attempt: usize, site: &Value, address: &str) -> Value {
    let lines = site["headers"].as_array().into_iter().flatten();
    let mut named: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pair in lines {
        let (name, value) = (
            pair[0].as_str().unwrap_or_default(),
            pair[1].as_str().unwrap_or_default(),
        );
        let value = match name {
            "x-request-id" => "ID",
            "x-envoy-expected-rq-timeout-ms" | "grpc-timeout" if attempt > 0 => "...",
            _ => value,
        };
        let line = without_seconds(&format!("{name}: {value}")).replace(address, "POD");
        named.entry(name).or_default().push(line);
    }
    named.into_values().flatten().collect()
}
