//! From a context to a client, and from kube's errors to ours: what a plugin prints, its environment and tokens never
//! reach a window or a log.

use std::{io, net::IpAddr, time::Duration};

use kube::{
    Client, Config, Error,
    client::AuthError,
    config::{ExecConfig, ExecInteractiveMode, KubeConfigOptions, KubeconfigError},
    core::Status,
};

use super::{
    contexts::{Login, without_userinfo},
    kubeconfigs::Target,
    login_path::login_path,
    patient::patient,
};
use crate::fault::{Fault, Result};

/// A server that does not take a connection in this time is not reachable.
const CONNECT: Duration = Duration::from_secs(5);

/// Code of the fault that a network mends.
pub(super) const UNREACHABLE: &str = "unreachable";
/// Code of the fault of an object that is no longer what was seen.
pub(super) const CONFLICT: &str = "conflict";
/// Code of the fault that another permission mends.
pub(super) const FORBIDDEN: &str = "forbidden";
/// Code of the fault of an object that is not there.
pub(super) const MISSING: &str = "missing";
/// Code of the fault that there are no credentials at all.
pub(super) const CREDENTIALS: &str = "credentials";
/// Code of the fault that logging in again mends.
pub(super) const EXPIRED: &str = "expired";

/// A client for `target`, and the API server's address. May run the context's credential plugin, so that it takes its time.
pub(super) async fn connect(target: &Target) -> Result<(Client, String)> {
    let mut kubeconfig = target.kubeconfig()?;
    let name = &target.context.name;
    if target.context.plugin.is_some() {
        // The login shell is asked once; it may take a moment.
        let path = tokio::task::spawn_blocking(login_path).await.ok().flatten();
        for user in &mut kubeconfig.auth_infos {
            if let Some(exec) = user.auth_info.as_mut().and_then(|user| user.exec.as_mut()) {
                prepare(exec, path);
            }
        }
    }
    if let Some(fault) = target.context.login.and_then(Login::refusal) {
        return Err(fault);
    }
    let context = kubeconfig.contexts.iter().find(|context| context.name == *name);
    let own = context.and_then(|context| Some(context.context.as_ref()?.cluster.clone()));
    let cluster = kubeconfig.clusters.iter().find(|each| Some(&each.name) == own.as_ref());
    let named_proxy = cluster.and_then(|cluster| cluster.cluster.as_ref()?.proxy_url.clone());
    let options = KubeConfigOptions {
        context: Some(name.to_string()),
        ..KubeConfigOptions::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| match error {
            KubeconfigError::ParseProxyUrl(_) => unreadable_proxy(),
            KubeconfigError::ParseNoProxy(_) => Fault::new("proxy", "The variable NO_PROXY cannot be read.")
                .hint("It is a list of names, addresses and ranges with a comma between each two."),
            _ => Fault::new("context", format!("The context {name:?} is incomplete."))
                .hint("Check it with `kubectl config view`: it needs a cluster with a server, and a user."),
        })?;
    config.connect_timeout = Some(CONNECT);
    // kube would repeat even a creation that a time-out hid, for minutes.
    config.default_retry = false;
    let host = config.cluster_url.host().unwrap_or_default();
    config.proxy_url = proxy(named_proxy.as_deref(), host, |name| std::env::var(name).ok())?;
    let server = without_userinfo(&config.cluster_url.to_string());
    let client = tokio::task::spawn_blocking(move || Client::try_from(config)).await;
    let client = client.map_err(|error| Fault::new("connect", error.to_string()))?;
    Ok((patient(client.map_err(|error| told(&error))?), server))
}

/// A plugin runs without a terminal, and finds what the person's shell finds.
fn prepare(exec: &mut ExecConfig, path: Option<&str>) {
    // One that asks at a terminal would wait for ever: the app has none.
    exec.interactive_mode = Some(ExecInteractiveMode::Never);
    let variables = exec.env.get_or_insert_default();
    let named = variables
        .iter()
        .any(|variable| variable.get("name").is_some_and(|name| name == "PATH"));
    if let Some(path) = path.filter(|_| !named) {
        let own = std::env::var("PATH").unwrap_or_default();
        let both = if own.is_empty() {
            path.into()
        } else {
            format!("{path}:{own}")
        };
        variables.push([("name".into(), "PATH".into()), ("value".into(), both)].into());
    }
}

/// The proxy on the way to `host`: the one that the kubeconfig names, whatever else holds, or that of the environment, as
/// kubectl takes them. (kube 5.0 holds NO_PROXY against the proxy's own address, not the API server's.)
fn proxy(named: Option<&str>, host: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<http::Uri>> {
    let either = |names: [&str; 2]| {
        let mut set = names.into_iter().filter_map(&variable);
        set.find(|value| !value.is_empty())
    };
    let url = match named.filter(|named| !named.is_empty()) {
        Some(named) => Some(named.to_string()),
        None => either(["HTTPS_PROXY", "https_proxy"])
            .filter(|_| !is_local(host) && !is_exempt(host, &either(["NO_PROXY", "no_proxy"]).unwrap_or_default())),
    };
    let Some(url) = url else { return Ok(None) };
    let whole = if url.contains("://") {
        url
    } else {
        format!("http://{url}")
    };
    whole.parse().map(Some).map_err(|_| unreadable_proxy())
}

fn unreadable_proxy() -> Fault {
    Fault::new("proxy", "The address of the proxy cannot be read.")
        .hint("http://HOST:PORT and socks5://HOST:PORT can be.")
}

/// No proxy of the environment is on the way to this machine itself (Go's `httpproxy.Config`).
fn is_local(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// `NO_PROXY` as curl and Go read it: names with their subdomains, addresses, ranges, `*`.
fn is_exempt(host: &str, no_proxy: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>().ok();
    no_proxy
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .any(|item| {
            let item = item
                .rsplit_once(':')
                .filter(|(name, _)| !name.contains(':'))
                .map_or(item, |(name, _)| name);
            let name = item.trim_start_matches("*.").trim_start_matches('.');
            let inside = |address: IpAddr| item.parse::<ipnet::IpNet>().is_ok_and(|net| net.contains(&address));
            item == "*" || host == name || host.ends_with(&format!(".{name}")) || address.is_some_and(inside)
        })
}

/// What went wrong, in words that are safe to show.
pub(super) fn told(error: &Error) -> Fault {
    match error {
        Error::Api(status) => refused(status),
        Error::Auth(_) => no_credentials(),
        Error::ProxyProtocolUnsupported { .. } | Error::ProxyProtocolDisabled { .. } => Fault::new(
            "proxy",
            "The proxy of this context speaks a protocol that Egret does not.",
        )
        .hint("http:// and socks5:// are spoken."),
        Error::Service(cause) => {
            let mut innermost: &(dyn std::error::Error + 'static) = &**cause;
            loop {
                if let Some(fault) = distrusted(innermost) {
                    return fault;
                }
                // Credentials that are renewed on the way fail in here, and say the plugin's whole command and output.
                if innermost.is::<AuthError>() {
                    return no_credentials();
                }
                match innermost.source() {
                    Some(source) => innermost = source,
                    None => break,
                }
            }
            let words = innermost.to_string();
            Fault::new(UNREACHABLE, format!("The API server cannot be reached: {words}"))
                .hint("Is the VPN up, and the cluster running?")
        }
        Error::HyperError(_) | Error::ReadEvents(_) => {
            Fault::new(UNREACHABLE, "The API server broke the connection off.")
        }
        _ => Fault::new("cluster", "The API server's answer cannot be used."),
    }
}

/// What is wrong with the server's certificate, where that is why. An I/O error keeps what it was made of apart from its
/// sources, and may be made of another one.
fn distrusted(error: &(dyn std::error::Error + 'static)) -> Option<Fault> {
    let mut inner = error;
    while let Some(error) = inner.downcast_ref::<io::Error>() {
        inner = error.get_ref()?;
    }
    let rustls::Error::InvalidCertificate(why) = inner.downcast_ref()? else {
        return None;
    };
    let said = format!("The API server's certificate is not the expected one: {why}.");
    Some(Fault::new("certificate", said).hint(
        "Check certificate-authority-data and tls-server-name in the kubeconfig. If they are right, somebody is in between.",
    ))
}

fn no_credentials() -> Fault {
    Fault::new(CREDENTIALS, "The credentials of this context cannot be had.")
        .hint("Log in with your cluster's own tool, then try again: `kubectl get namespaces` shows what it says.")
}

/// What the API server itself says: its words are for the person who asked.
fn refused(status: &Status) -> Fault {
    let words = status.message.clone();
    match status.code {
        401 => Fault::new(EXPIRED, "The API server does not accept the credentials (401).")
            .hint("Log in again with your cluster's own tool: Egret goes on by itself, and nothing staged is lost."),
        403 => Fault::new(FORBIDDEN, words).hint("Ask for the missing right, or connect as somebody else."),
        404 => Fault::new(MISSING, words),
        409 => Fault::new(CONFLICT, words).hint("Review again: the object has changed, or belongs to another tool."),
        // Strict validation of a custom resource answers 500 with the field in its text.
        422 | 400 | 500 if !words.is_empty() => Fault::new("refused", words),
        code => Fault::new("cluster", format!("The API server answered {code}. {words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_cannot_be_renewed_on_the_way_say_nothing_of_the_plugin() {
        let plugin = AuthError::AuthExecStart(std::io::Error::other("s3cret"));
        let fault = told(&Error::Service(Box::new(plugin)));
        assert_eq!(fault.code, "credentials");
        assert!(!format!("{fault:?}").contains("s3cret"));
    }

    #[test]
    fn a_plugin_finds_what_the_persons_shell_finds_and_never_asks_at_a_terminal() {
        let prepared = |env: Option<Vec<_>>, path| {
            let mut exec = ExecConfig {
                env,
                ..ExecConfig::default()
            };
            prepare(&mut exec, path);
            assert_eq!(exec.interactive_mode, Some(ExecInteractiveMode::Never));
            exec.env.unwrap_or_default()
        };
        let given = prepared(None, Some("/opt/cloud/bin"));
        assert_eq!(given[0]["name"], "PATH");
        assert!(given[0]["value"].starts_with("/opt/cloud/bin:"));
        let named = std::collections::HashMap::from([("name".into(), "PATH".into()), ("value".into(), "/own".into())]);
        assert_eq!(
            prepared(Some(vec![named.clone()]), Some("/x")),
            [named],
            "what the file says holds"
        );
        assert!(prepared(None, None).is_empty());
    }

    #[test]
    fn a_proxy_is_the_named_one_or_that_of_the_environment_but_not_to_this_machine() {
        let through = |named: Option<&str>, host: &str, variables: &[(&str, &str)]| {
            let of = |name: &str| {
                variables
                    .iter()
                    .find(|(own, _)| *own == name)
                    .map(|(_, value)| value.to_string())
            };
            proxy(named, host, of).unwrap().map(|url| url.to_string())
        };
        let both = [
            ("HTTPS_PROXY", "http://proxy.corp:3128"),
            ("NO_PROXY", "k8s.corp,10.0.0.0/8"),
        ];
        assert_eq!(
            through(None, "k8s.cloud", &both).as_deref(),
            Some("http://proxy.corp:3128/")
        );
        assert_eq!(through(None, "k8s.corp", &both), None);
        assert_eq!(
            through(Some("http://own:1"), "k8s.corp", &both).as_deref(),
            Some("http://own:1/")
        );
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            assert_eq!(through(None, host, &both), None, "{host}");
            assert!(through(Some("http://own:1"), host, &both).is_some(), "{host}");
        }
        let bare = [("HTTPS_PROXY", ""), ("https_proxy", "proxy:3128")];
        assert_eq!(through(None, "k8s.cloud", &bare).as_deref(), Some("http://proxy:3128/"));
        assert_eq!(proxy(Some("http://a b"), "x", |_| None).unwrap_err().code, "proxy");
    }

    #[test]
    fn no_proxy_names_hosts_subdomains_and_ranges() {
        for (host, list, exempt) in [
            ("k8s.corp", "corp", true),
            ("k8s.corp", ".corp,other", true),
            ("k8s.corp", "*.corp", true),
            ("k8scorp", "corp", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("[fd00::1]", "fd00::/8", true),
            ("10.1.2.3", "10.1.2.3:6443", true),
            ("anything", "*", true),
            ("k8s.corp", "", false),
        ] {
            assert_eq!(is_exempt(host, list), exempt, "{host} {list}");
        }
    }
}
