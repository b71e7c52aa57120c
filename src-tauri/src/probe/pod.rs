//! Requests from a running pod of a workload, beside its sidecar: what they meet is what the workload's own traffic meets.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    request::{Client, Ran, Request, Start},
    wget,
};
use crate::{
    cluster::{Cluster, End, Executed, Place},
    fault::{Fault, Result},
};

/// Codes of a shell, and of some runtimes, for a program that is not there or cannot be run.
const NOT_THERE: [i32; 2] = [126, 127];
/// Longest part of what a runtime says that is shown.
const MAX_WORDS: usize = 80;
/// Code of the fault that another way of sending mends.
const NO_CLIENT: &str = "no-client";

/// A running pod of a workload of the cluster.
pub struct FromPod<'a> {
    pub cluster: &'a Cluster,
    /// `namespace/name`.
    pub workload: &'a str,
}

impl Start for FromPod<'_> {
    fn run(&self, request: &Request<'_>) -> Result<Ran> {
        let place = self.cluster.place(self.workload)?;
        let options = request.curl_options();
        let curl: Vec<&str> = ["curl", "-sS"]
            .into_iter()
            .chain(options.iter().map(String::as_str))
            .collect();
        let mut said = String::new();
        for container in place.containers.iter().chain(&place.added) {
            match self.tried(&place, container, &curl)? {
                Tried::Ran(done, exit) => {
                    let shown = format!("{} curl -sS {}", command(&place, container), request.curl_shown());
                    return Ok(at(&place, Ran::of_curl(&done.stdout, done.stderr, exit, shown)));
                }
                Tried::NotThere(words) => said = words,
            }
        }
        for container in &place.containers {
            if !wget::sends(request) {
                said = "there is no curl, and wget sends nothing but GET by HTTP".into();
                break;
            }
            match self.wget(&place, container, &request.target.url)? {
                Tried::Ran(done, exit) => {
                    let ran = Ran {
                        client: Client::Wget,
                        answer: wget::read(&done.stdout, &done.stderr),
                        stderr: done.stderr,
                        exit,
                        shown: format!("{} {}", command(&place, container), wget::shown(&request.target.url)),
                        sidecar: true,
                        sources: Vec::new(),
                    };
                    return Ok(at(&place, ran));
                }
                Tried::NotThere(words) => said = words,
            }
        }
        let (pod, containers) = (&place.pod, place.containers.join(", "));
        Err(Fault::new(
            NO_CLIENT,
            format!("No container of {pod} ({containers}) can send it: {said}."),
        )
        .hint(WAYS))
    }

    fn record(&self) -> Duration {
        // The line goes through the kubelet and the API server, and a stream's comes with its end.
        Duration::from_secs(3)
    }
}

/// What mends a missing client.
const WAYS: &str = "Add a container with curl to its pod, or send from a probe in its namespace: both are offered here. The \
                    sandbox needs neither.";

/// What came of a client that may not be there.
enum Tried {
    Ran(Executed, i32),
    /// Said with the runtime's own words.
    NotThere(String),
}

impl FromPod<'_> {
    fn wget(&self, place: &Place, container: &str, url: &str) -> Result<Tried> {
        let [limited, unlimited] = wget::attempts(url);
        match self.tried(place, container, &limited)? {
            Tried::Ran(_, wget::CRASHED) => self.tried(place, container, &unlimited),
            tried => Ok(tried),
        }
    }

    fn tried(&self, place: &Place, container: &str, argv: &[&str]) -> Result<Tried> {
        let done = self.cluster.exec(place, container, argv)?;
        Ok(match done.end.clone() {
            End::Exit(exit) if !NOT_THERE.contains(&exit) => Tried::Ran(done, exit),
            End::Exit(_) => Tried::NotThere("neither curl nor wget is there".into()),
            End::NotStarted(words) => Tried::NotThere(format!("neither curl nor wget is there (…{})", tail(&words))),
        })
    }
}

/// A runtime says what it was doing first, with long numbers, and what went wrong last.
fn tail(words: &str) -> &str {
    let words = words.trim().trim_end_matches('.');
    let start = words.ceil_char_boundary(words.len().saturating_sub(MAX_WORDS));
    match words[start..].split_once(' ') {
        Some((_, rest)) if start > 0 => rest,
        _ => &words[start..],
    }
}

fn command(place: &Place, container: &str) -> String {
    format!("kubectl exec -n {} {} -c {container} --", place.namespace, place.pod)
}

fn at(place: &Place, mut ran: Ran) -> Ran {
    ran.sidecar = place.sidecar;
    ran.sources.clone_from(&place.addresses);
    // Where the sidecar is its proxy, programs go to it within the pod.
    ran.sources.push(Ipv4Addr::LOCALHOST.into());
    ran
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_runtimes_words_the_end_is_shown() {
        let words = "Internal error occurred: failed to start exec \"60d86b252d0c9881d8600a8679dcea5a34f6eeecbd50eea9a7ea43\": \
                     unable to start container process: exec: \"wget\": executable file not found in $PATH: unknown.";
        let shown = tail(words);
        assert!(
            shown.len() <= MAX_WORDS && shown.ends_with("executable file not found in $PATH: unknown"),
            "{shown}"
        );
        assert_eq!(tail("not found"), "not found");
        assert_eq!(tail(&"ü".repeat(100)), "ü".repeat(40));
    }
}
