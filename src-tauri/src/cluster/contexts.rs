//! Contexts of kubeconfig files: what a person can connect to. Nothing secret leaves this module but towards the client.

use std::path::Path;

use kube::config::{Kubeconfig, KubeconfigError};

use crate::fault::{Fault, Result};

/// One context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// The API server's address.
    pub server: String,
    /// The user's name in the file.
    pub user: String,
    /// True where the server's certificate is not checked.
    pub insecure: bool,
    /// Command that gives the credentials, where one does.
    pub plugin: Option<String>,
    /// True for the file's current context.
    pub current: bool,
    /// True for names that look like production.
    pub production: bool,
}

/// The kubeconfig: `file`, else those that `KUBECONFIG` names merged, else the default one.
pub(super) fn kubeconfig(file: Option<&Path>) -> Result<Kubeconfig> {
    let read = match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    read.map_err(|error| unreadable(&error))
}

/// The contexts, in the order of the file.
pub fn contexts(file: Option<&Path>) -> Result<Vec<Context>> {
    let config = kubeconfig(file)?;
    let contexts = config.contexts.iter().map(|named| {
        let context = named.context.clone().unwrap_or_default();
        let user_name = context.user.unwrap_or_default();
        let cluster = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.and_then(|named| named.cluster.as_ref());
        let user = config.auth_infos.iter().find(|user| user.name == user_name);
        let plugin = user.and_then(|user| user.auth_info.as_ref()?.exec.as_ref()?.command.clone());
        Context {
            name: named.name.clone(),
            server: cluster.and_then(|cluster| cluster.server.clone()).unwrap_or_default(),
            user: user_name,
            insecure: cluster.is_some_and(|cluster| cluster.insecure_skip_tls_verify == Some(true)),
            plugin,
            current: config.current_context.as_ref() == Some(&named.name),
            production: looks_like_production(&named.name),
        }
    });
    Ok(contexts.collect())
}

/// `prod` as a word of its own, or a word that begins with it.
fn looks_like_production(name: &str) -> bool {
    let mut words = name.split(|letter: char| !letter.is_alphanumeric());
    words.any(|word| {
        matches!(
            word.to_ascii_lowercase().as_str(),
            "prod" | "prd" | "production" | "live"
        )
    })
}

/// kube's own words name the path and the place in the file, and may quote nothing of it.
fn unreadable(error: &KubeconfigError) -> Fault {
    match error {
        KubeconfigError::ReadConfig(cause, path) => Fault::file("read", path, cause),
        KubeconfigError::FindPath => Fault::new(
            "kubeconfig",
            "There is no kubeconfig: neither KUBECONFIG nor ~/.kube/config.",
        )
        .hint("Make one with your cluster's own tool, or pick a file."),
        KubeconfigError::Parse(_) => Fault::new("kubeconfig", "The kubeconfig is no YAML of the expected form.")
            .hint("Check it with `kubectl config view`."),
        _ => Fault::new("kubeconfig", "The kubeconfig cannot be used.").hint("Check it with `kubectl config view`."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_say_what_they_lead_to_and_nothing_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: b\nclusters:\n- {name: c, cluster: {server: \"https://c:6443\", \
                    insecure-skip-tls-verify: true}}\nusers:\n- {name: u, user: {token: s3cret}}\n- name: p\n  user:\n    exec: \
                    {command: aws, args: [s3cret], apiVersion: client.authentication.k8s.io/v1}\ncontexts:\n- {name: eu-prod, \
                    context: {cluster: c, user: u}}\n- {name: b, context: {cluster: c, user: p}}\n- {name: broken}\n";
        std::fs::write(&file, text).unwrap();
        let found = contexts(Some(&file)).unwrap();
        assert!(!format!("{found:?}").contains("s3cret"));
        let names: Vec<_> = found
            .iter()
            .map(|context| (&*context.name, context.current, context.production))
            .collect();
        assert_eq!(
            names,
            [("eu-prod", false, true), ("b", true, false), ("broken", false, false)]
        );
        assert_eq!((found[0].server.as_str(), found[0].insecure), ("https://c:6443", true));
        assert_eq!(found[1].plugin.as_deref(), Some("aws"));
        assert!(found[2].server.is_empty());
    }

    #[test]
    fn a_file_that_is_missing_or_broken_is_a_fault_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        assert!(contexts(Some(&file)).unwrap_err().message.contains("config"));
        std::fs::write(&file, "users:\n- token: s3cret\n  x: [").unwrap();
        let fault = contexts(Some(&file)).unwrap_err();
        assert!(!format!("{fault:?}").contains("s3cret"));
    }
}
