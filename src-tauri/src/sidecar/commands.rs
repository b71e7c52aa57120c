//! Commands in the sandbox.

use std::{collections::BTreeMap, sync::mpsc};

use proxy_core::net;

use super::{agent::Output, control::Sidecar};
use crate::{dto::Way, fault::Result};

impl Sidecar {
    /// Runs a program of Egret's own in the sandbox.
    pub fn run(&self, argv: &[&str]) -> Result<(u64, mpsc::Receiver<Output>)> {
        self.run_with(argv, &BTreeMap::new())
    }

    /// Runs a command in the sandbox, with the workload's variables where they are taken over.
    pub fn run_as_workload(&self, argv: &[&str]) -> Result<(u64, mpsc::Receiver<Output>)> {
        let environment = self.inner().environment.clone();
        self.run_with(argv, &environment)
    }

    fn run_with(&self, argv: &[&str], environment: &BTreeMap<String, String>) -> Result<(u64, mpsc::Receiver<Output>)> {
        let running = self.running()?;
        let mut all: Vec<String> = Vec::new();
        if running.way == Way::Proxy {
            let (proxy, ca) = (format!("http://{}", running.explicit), running.ca.display().to_string());
            // The way into the cluster is the sidecar's.
            all.extend(["env", "-u", net::Forwarder::VARIABLE].map(String::from));
            all.extend(
                ["http_proxy", "https_proxy"]
                    .iter()
                    .map(|name| format!("{name}={proxy}")),
            );
            all.extend(
                ["SSL_CERT_FILE", "CURL_CA_BUNDLE"]
                    .iter()
                    .map(|name| format!("{name}={ca}")),
            );
        }
        all.extend(argv.iter().map(ToString::to_string));
        running.agent.run(&all, environment)
    }

    /// Ends a command.
    pub fn kill(&self, id: u64) -> Result<()> {
        self.running()?.agent.kill(id)
    }
}
