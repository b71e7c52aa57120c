//! Contexts of kubeconfig files: what a person can connect to. Nothing secret leaves this module but towards the client.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

use kube::config::{AuthInfo, Kubeconfig, KubeconfigError};
use serde::Serialize;

use super::{
    connect::{CREDENTIALS, EXPIRED},
    digest::Digest,
    words::shell_word,
};
use crate::fault::{Fault, Result};

/// What has taken the place of auth-providers.
const INSTEAD: &str = "A plugin does it now: `kubelogin convert-kubeconfig` writes it for Azure, `kubectl oidc-login setup` \
                       (int128/kubelogin) for OpenID Connect.";

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
    /// How Kubernetes logged in before there were plugins, where the file still does.
    pub login: Option<Login>,
    /// Changes with whatever the file says about this context, its cluster and its user.
    pub entry: u64,
}

/// A way to log in that Kubernetes has taken out of its own clients, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// `auth-provider: oidc` with a token, which only kubectl renews.
    Oidc,
    /// The same before anybody has logged in.
    OidcWithoutToken,
    /// Any other that nobody speaks any more.
    Removed,
}

impl Login {
    fn of(user: &AuthInfo) -> Option<Self> {
        let provider = user.auth_provider.as_ref()?;
        match provider.name.as_str() {
            "oidc" if provider.config.contains_key("id-token") => Some(Self::Oidc),
            "oidc" => Some(Self::OidcWithoutToken),
            // With a command or a token that is kept.
            "gcp" => None,
            _ => Some(Self::Removed),
        }
    }

    /// Why it cannot be used at all.
    pub(super) fn refusal(self) -> Option<Fault> {
        let said = match self {
            Self::Oidc => return None,
            Self::OidcWithoutToken => "The auth-provider oidc of this context has no id-token.",
            Self::Removed => "This context logs in by an auth-provider that Kubernetes has removed.",
        };
        Some(Fault::new(CREDENTIALS, said).hint(INSTEAD))
    }

    /// `fault` with what renews such a login, where it has ended.
    pub(super) fn explained(self, fault: Fault) -> Fault {
        if self != Self::Oidc || fault.code != EXPIRED {
            return fault;
        }
        fault.hint(format!(
            "Its id-token has ended. `kubectl get namespaces` renews it in the kubeconfig, and Egret goes on by itself. {INSTEAD}"
        ))
    }
}

/// The program that a user's credentials come from.
#[derive(Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Command and arguments, as a shell would take them.
    pub command: String,
    /// Names of the variables that the file sets for it.
    pub variables: Vec<String>,
    /// Of everything that decides what runs: command, arguments, variables with their values.
    pub(super) digest: Digest,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments may be secret.
        f.write_str("Plugin")
    }
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
        let plugin = user.and_then(|user| program(user.auth_info.as_ref()?));
        let login = user.and_then(|user| Login::of(user.auth_info.as_ref()?));
        let mut entry = DefaultHasher::new();
        // What cannot be written as JSON was not read from YAML.
        serde_json::to_string(&(&named.context, cluster, user))
            .unwrap_or_default()
            .hash(&mut entry);
        Context {
            name: named.name.clone(),
            server: without_userinfo(
                cluster
                    .and_then(|cluster| cluster.server.as_deref())
                    .unwrap_or_default(),
            ),
            user: user_name,
            insecure: cluster.is_some_and(|cluster| cluster.insecure_skip_tls_verify == Some(true)),
            plugin: plugin.map(|program| program.command),
            current: config.current_context.as_ref() == Some(&named.name),
            production: looks_like_production(&named.name),
            login,
            entry: entry.finish(),
        }
    });
    Ok(contexts.collect())
}

/// The address `server` without a name and a password in it (RFC 3986, 3.2.1), which a kubeconfig can hold and no window or
/// journal may.
pub(super) fn without_userinfo(server: &str) -> String {
    let (scheme, rest) = match server.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), server),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}{host}{path}")
}

/// The program that the context `name` takes its credentials from, where it is one.
pub(super) fn plugin(config: &Kubeconfig, name: &str) -> Option<Plugin> {
    let context = config.contexts.iter().find(|context| context.name == name)?;
    let user_name = context.context.as_ref()?.user.as_ref()?;
    let user = config.auth_infos.iter().find(|user| user.name == *user_name)?;
    let program = program(user.auth_info.as_ref()?)?;
    // As JSON no two programs read alike.
    let all = serde_json::to_string(&program).unwrap_or_default();
    let words = std::iter::once(&program.command).chain(&program.arguments);
    let words: Vec<_> = words.map(|word| shell_word(word)).collect();
    Some(Plugin {
        command: visible(&words.join(" ")),
        variables: program.variables.into_iter().map(|(name, _)| visible(&name)).collect(),
        digest: Digest::of(all.as_bytes()),
    })
}

/// Without letters that a screen does not show as what they are, and could so be made to lie.
fn visible(text: &str) -> String {
    let hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    text.chars().fold(String::new(), |mut shown, letter| {
        match hidden(letter) {
            true => shown.extend(letter.escape_unicode()),
            false => shown.push(letter),
        }
        shown
    })
}

/// Everything that decides what runs.
#[derive(Serialize)]
struct Program {
    command: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

/// What runs for a user's credentials: a plugin, or a command named in Google's older way.
fn program(user: &AuthInfo) -> Option<Program> {
    if let Some(provider) = &user.auth_provider {
        let command = provider.config.get("cmd-path")?;
        let arguments = provider.config.get("cmd-args").map(String::as_str).unwrap_or_default();
        return Some(Program {
            command: command.clone(),
            arguments: arguments.trim().split(' ').map(str::to_string).collect(),
            variables: Vec::new(),
        });
    }
    let exec = user.exec.as_ref()?;
    let variables = exec.env.iter().flatten();
    Some(Program {
        command: exec.command.clone()?,
        arguments: exec.args.clone().unwrap_or_default(),
        variables: variables
            .filter_map(|variable| Some((variable.get("name")?.clone(), variable.get("value")?.clone())))
            .collect(),
    })
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

/// kube's own words name the path and the place in the file; nothing of either is shown but the file's name.
fn unreadable(error: &KubeconfigError) -> Fault {
    match error {
        // Where it lies is the person's own affair, and no window's.
        KubeconfigError::ReadConfig(cause, path) => {
            Fault::file("read", Path::new(path.file_name().unwrap_or_default()), cause)
        }
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
    fn an_address_is_shown_without_the_password_in_it() {
        for (server, shown) in [
            ("https://jane:s3cret@k8s.corp:6443/x@y", "https://k8s.corp:6443/x@y"),
            ("https://jane@s3cret@[::1]:6443", "https://[::1]:6443"),
            ("jane:s3cret@k8s.corp", "k8s.corp"),
            ("https://k8s.corp?a@b", "https://k8s.corp?a@b"),
            ("", ""),
        ] {
            assert_eq!(without_userinfo(server), shown);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let text = "clusters: [{name: c, cluster: {server: 'https://jane:s3cret@k8s.corp'}}]\ncontexts: [{name: x, context: \
                    {cluster: c, user: u}}]\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(contexts(Some(&file)).unwrap()[0].server, "https://k8s.corp");
    }

    #[test]
    fn a_program_is_shown_as_it_runs_and_known_by_all_that_decides_what_runs() {
        let read = |user: &str| {
            let text = format!(
                "users: [{{name: u, user: {user}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
            );
            plugin(&Kubeconfig::from_yaml(&text).unwrap(), "x")
        };
        let exec = |rest: &str| read(&format!("{{exec: {{command: aws, {rest}}}}}")).unwrap();
        let plain = exec("args: [eks, \"a b\", \"\"]");
        assert_eq!(plain.command, "aws eks 'a b' ''");
        let other = exec("args: [eks, a, b, \"\"]");
        let preloaded = exec("args: [eks, \"a b\", \"\"], env: [{name: LD_PRELOAD, value: s3cret}]");
        assert_eq!(preloaded.variables, ["LD_PRELOAD"]);
        assert!(!format!("{preloaded:?}{}", preloaded.command).contains("s3cret"));
        let digests = [&plain.digest, &other.digest, &preloaded.digest];
        assert!(digests[0] != digests[1] && digests[0] != digests[2]);
        assert!(exec("args: [\"\\u202e\\u001b\"]").command.contains("\\u{202e}\\u{1b}"));
        let google = read("{auth-provider: {name: gcp, config: {cmd-path: gcloud, cmd-args: config helper}}}").unwrap();
        assert_eq!(google.command, "gcloud config helper");
        assert!(read("{token: s3cret}").is_none());
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
