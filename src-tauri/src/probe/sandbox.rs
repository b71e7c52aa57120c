//! Requests from the sandboxed workload.

use std::time::Duration;

use super::{
    MAX_TEXT,
    request::{Ran, Request, Start},
};
use crate::{
    dto::Way,
    fault::{Fault, Result},
    sidecar::{Output, Sidecar, Stream, find_proxy},
};

/// A shell's code for a program that is not there.
const NOT_FOUND: i32 = 127;

/// The sandboxed workload.
pub struct FromSandbox<'a>(pub &'a Sidecar);

impl Start for FromSandbox<'_> {
    fn run(&self, request: &Request<'_>) -> Result<Ran> {
        let ran = self.client(&["curl", "-sS"], request, "curl -sS")?;
        if ran.exit != NOT_FOUND {
            return Ok(ran);
        }
        let own = find_proxy()?.display().to_string();
        self.client(&[&own, "get"], request, "egret-proxy get")
    }

    fn record(&self) -> Duration {
        Duration::from_millis(500)
    }
}

impl FromSandbox<'_> {
    fn client(&self, client: &[&str], request: &Request<'_>, shown: &str) -> Result<Ran> {
        let options = request.curl_options();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (_, output_rx) = self.0.run(&[client, &options].concat())?;
        let (mut stdout, mut stderr, mut exit) = (String::new(), String::new(), None);
        while let Ok(output) = output_rx.recv() {
            match output {
                Output::Text(Stream::Stdout, text) => keep(&mut stdout, &text),
                Output::Text(Stream::Stderr, text) => keep(&mut stderr, &text),
                Output::Exit(code) => exit = Some(code),
            }
        }
        let exit = exit.ok_or_else(|| Fault::new("sandbox", "The sandbox ended before the request did."))?;
        let mut ran = Ran::of_curl(&stdout, stderr, exit, format!("{shown} {}", request.curl_shown()));
        if self.0.state().way == Way::Proxy {
            // What was connected to is the proxy.
            ran.answer.address = None;
        }
        Ok(ran)
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
