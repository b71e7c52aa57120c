//! One test request with the real `curl`, from the sandboxed workload.

use std::time::{Duration, Instant};

use super::{
    MAX_TEXT,
    answer::{Answer, MARK},
};
use crate::{
    cluster::Cluster,
    dto::RequestResult,
    fault::{Fault, Result},
    sidecar::{Output, Sidecar, Stream, find_proxy},
    traffic::{Row, Traffic},
};

/// Longest a request may take, for curl; `/delay/N` of the sites ends well before.
const MAX_SECONDS: &str = "20";
/// A shell's code for a program that is not there.
const NOT_FOUND: i32 = 127;
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Where a request starts.
pub trait Start {
    /// Runs an HTTP client with `options` there: curl, or what stands in for it.
    fn client(&self, options: &[&str]) -> Result<Ran>;

    /// How long the record of a finished request may take to arrive: it comes by another way than the answer.
    fn record(&self) -> Duration;
}

/// What a client printed, and how it ended.
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub exit: i32,
    /// The client's command as a person would type it, without its options.
    pub shown: String,
}

/// Sends `method` `url` and tells what came of it, with the flow it made.
pub fn send_request(start: &dyn Start, traffic: &Traffic, method: &str, url: &str) -> Result<RequestResult> {
    let target = Target::parse(url)?;
    if !METHODS.contains(&method) {
        return Err(Fault::input(format!("{method:?} is none of {}.", METHODS.join(", "))));
    }
    let verb: &[&str] = match method {
        "GET" => &[],
        // With -X HEAD curl would wait for a body.
        "HEAD" => &["-I"],
        method => &["-X", method],
    };
    let before = traffic.last_id();
    let started = Instant::now();
    let format = format!("{MARK}%{{time_total}}\n");
    let options = [&["-i"], verb, &["--max-time", MAX_SECONDS, "-w", &format, "--", url]].concat();
    let Ran {
        stdout,
        stderr,
        exit,
        shown,
    } = start.client(&options)?;
    let shown = [&[shown.as_str(), "-i"], verb, &[url]].concat().join(" ");
    let answer = Answer::read(&stdout);
    let flow = traffic.await_newest(before, start.record(), |row| target.is(row));
    Ok(RequestResult {
        command: shown,
        status: answer.status,
        exit,
        took_ms: answer.took_ms.unwrap_or(started.elapsed().as_millis() as u64),
        verdict: flow.as_ref().map(|row| row.record.verdict.into()),
        flow_id: flow.map(|row| row.id),
        site_saw: answer.site_saw(),
        response_headers: answer.headers,
        body: answer.body,
        stderr: stderr.trim().to_string(),
    })
}

/// The sandboxed workload.
pub struct FromSandbox<'a>(pub &'a Sidecar);

impl Start for FromSandbox<'_> {
    fn client(&self, options: &[&str]) -> Result<Ran> {
        let ran = self.run(&["curl", "-sS"], options, "curl -sS")?;
        if ran.exit != NOT_FOUND {
            return Ok(ran);
        }
        let own = find_proxy()?.display().to_string();
        self.run(&[&own, "get"], options, "egret-proxy get")
    }

    fn record(&self) -> Duration {
        Duration::from_millis(500)
    }
}

impl FromSandbox<'_> {
    fn run(&self, client: &[&str], options: &[&str], shown: &str) -> Result<Ran> {
        let (_, output_rx) = self.0.run(&[client, options].concat())?;
        let (mut stdout, mut stderr, mut exit) = (String::new(), String::new(), None);
        while let Ok(output) = output_rx.recv() {
            match output {
                Output::Text(Stream::Stdout, text) => keep(&mut stdout, &text),
                Output::Text(Stream::Stderr, text) => keep(&mut stderr, &text),
                Output::Exit(code) => exit = Some(code),
            }
        }
        let exit = exit.ok_or_else(|| Fault::new("sandbox", "The sandbox ended before the request did."))?;
        Ok(Ran {
            stdout,
            stderr,
            exit,
            shown: shown.to_string(),
        })
    }
}

/// A running pod of a workload of the cluster.
pub struct FromPod<'a> {
    pub cluster: &'a Cluster,
    /// `namespace/name`.
    pub workload: &'a str,
}

impl Start for FromPod<'_> {
    fn client(&self, options: &[&str]) -> Result<Ran> {
        let done = self
            .cluster
            .exec(self.workload, &[&["curl", "-sS"], options].concat())?;
        let (pod, container) = done.place;
        let namespace = self.workload.split('/').next().unwrap_or_default();
        match done.exit {
            Some(exit) if exit != NOT_FOUND => Ok(Ran {
                stdout: done.stdout,
                stderr: done.stderr,
                exit,
                shown: format!("kubectl exec -n {namespace} {pod} -c {container} -- curl -sS"),
            }),
            _ => Err(Fault::new(
                "curl",
                format!("The container {container} of {namespace}/{pod} has no curl."),
            )
            .hint("Start the sandbox instead: it acts as this workload, with the cluster's policy.")),
        }
    }

    fn record(&self) -> Duration {
        // The line goes through the kubelet and the API server, and a stream's comes with its end.
        Duration::from_secs(3)
    }
}

/// The last part is kept: it holds the time, and what a person looks for in a long text is rarely in its middle.
fn keep(text: &mut String, more: &str) {
    text.push_str(more);
    if text.len() > 2 * MAX_TEXT {
        let middle = text.ceil_char_boundary(MAX_TEXT);
        let end = text.floor_char_boundary(text.len() - MAX_TEXT / 2);
        text.replace_range(middle..end, "\n[cut]\n");
    }
}

/// Host and port of a URL, to find its flow.
#[derive(Debug, PartialEq)]
struct Target {
    host: String,
    port: u16,
}

impl Target {
    fn parse(url: &str) -> Result<Self> {
        let wrong =
            || Fault::new("url", format!("{url:?} is no URL.")).hint("It begins with http:// or https:// and a host.");
        if url.len() > 8192 || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            "telnet" => 23,
            _ => return Err(wrong()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, default),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_ascii_lowercase(),
            port,
        })
    }

    fn is(&self, row: &Row) -> bool {
        let record = &row.record;
        let address = record.destination.ip().to_string();
        // Bypassed connections and server-first protocols have no name: the port must do.
        let unnamed = record.host.is_none() && record.sni.is_none();
        record.destination.port() == self.port && (unnamed || row.name() == self.host || address == self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_of_a_url() {
        for (url, host, port) in [
            ("http://a.com", "a.com", 80),
            ("https://user@A.com/x?y", "a.com", 443),
            ("http://[::1]:8080/", "::1", 8080),
            ("http://1.2.3.4:81?x", "1.2.3.4", 81),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
        }
        for url in ["", "a.com", "ftp://a", "http://", "http://a b", "http://a:x"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
