//! Every way to an API server that a kubeconfig can name: as somebody else, through a proxy, over IPv6, under another name,
//! unchecked; each on the real server.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Mutex, atomic::AtomicBool},
    thread,
};

use super::*;
use crate::cluster::{contexts::contexts, look};

/// Names the kubeconfig that a process of its own looks at.
const LOOK: &str = "EGRET_TEST_LOOK";

/// A kubeconfig like that of `api`, changed.
fn changed(api: &Api, folder: &Path, change: impl FnOnce(String) -> String) -> PathBuf {
    let file = folder.join("changed");
    let text = fs::read_to_string(api.kubeconfig()).unwrap();
    fs::write(&file, change(text)).unwrap();
    file
}

/// More about the cluster of a kubeconfig.
fn of_cluster(text: &str, more: &str) -> String {
    text.replacen("  cluster:\n", &format!("  cluster:\n    {more}\n"), 1)
}

/// Connects, and changes something there.
fn works(api: &Api, kubeconfig: PathBuf, space: &str) -> Bench {
    namespace(api, space);
    let bench = Bench::open(kubeconfig);
    bench.cluster.set_editing(true);
    bench.put(space, "a", &entry(space, "a", "a.com"));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    api.apply(&entry(space, "b", "b.com"));
    bench.waits_for(space, &["a.com", "b.com"]);
    bench
}

#[test]
fn a_person_who_is_impersonated_has_the_rights_of_their_groups() {
    let Some(api) = api("a_person_who_is_impersonated") else {
        return;
    };
    account(api, "unused", &[], &[]);
    let group = "--group=way-team";
    api.text(&[
        "create",
        "clusterrolebinding",
        "way-team",
        "--clusterrole=documented-viewer",
        group,
    ]);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = changed(api, folder.path(), |text| {
        text.replacen(
            "  user: {",
            "  user: {as: way-jane, as-groups: [way-team, way-others], ",
            1,
        )
    });
    let bench = Bench::open(kubeconfig);
    assert_eq!(bench.cluster.who.as_deref(), Some("way-jane"));
    assert!(
        bench.cluster.rights().reach(Feature::FollowLogs).everywhere,
        "by the group"
    );
    let fault = bench
        .cluster
        .require(Feature::WriteServiceEntries, "default")
        .unwrap_err();
    assert_eq!(fault.code, "forbidden", "what the administrator may do is not theirs");
    let role = bench.cluster.role(Feature::WriteServiceEntries, Some("default"));
    assert!(role.contains("name: way-jane"), "{role}");
}

/// An HTTP proxy that takes CONNECT (RFC 9110, 9.3.6).
struct Proxy {
    address: String,
    /// Where it was asked to connect to.
    asked: Arc<Mutex<Vec<String>>>,
    /// The credentials that it wants.
    wants: Option<&'static str>,
}

impl Proxy {
    fn start(wants: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let own = asked.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let asked = own.clone();
                thread::spawn(move || serve(client, &asked, wants));
            }
        });
        Self { address, asked, wants }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

fn serve(mut client: TcpStream, asked: &Mutex<Vec<String>>, wants: Option<&str>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let (mut first, mut allowed) = (String::new(), wants.is_none());
    let _ = reader.read_line(&mut first);
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(1..) if line != "\r\n" => {
                let credentials = line.split_once(": Basic ").map(|(_, credentials)| credentials.trim());
                allowed |= wants.is_some() && credentials == wants;
            }
            _ => break,
        }
    }
    let Some(target) = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        return;
    };
    if !allowed {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        return;
    }
    asked.lock().unwrap().push(target.to_string());
    let upstream = TcpStream::connect(target).unwrap();
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .unwrap();
    let (from, to) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || cut::pass(from, to, &AtomicBool::new(false)));
    cut::pass(client, upstream, &AtomicBool::new(false));
}

#[test]
fn a_proxy_that_the_kubeconfig_names_carries_everything_and_its_password_is_shown_nowhere() {
    let Some(api) = api("a_proxy_that_the_kubeconfig_names") else {
        return;
    };
    let server = cut::server(&fs::read_to_string(api.kubeconfig()).unwrap()).to_string();
    for (space, user, wants) in [
        ("way-proxy", "", None),
        ("way-password", "jane:s3cret@", Some("amFuZTpzM2NyZXQ=")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let proxy = Proxy::start(wants);
        let kubeconfig = changed(api, folder.path(), |text| {
            of_cluster(&text, &format!("proxy-url: http://{user}{}", proxy.address))
        });
        let bench = works(api, kubeconfig.clone(), space);
        assert_eq!(proxy.asked(), [server.as_str()], "{:?}", proxy.wants);
        assert!(!format!("{:?}{:?}", bench.view().state(), contexts(Some(&kubeconfig))).contains("s3cret"));
    }
}

#[test]
fn a_proxy_of_the_environment_is_used_but_for_what_no_proxy_names() {
    let Some(api) = api("a_proxy_of_the_environment") else {
        return;
    };
    let server = cut::server(&fs::read_to_string(api.kubeconfig()).unwrap());
    let proxy = Proxy::start(None);
    let range = format!("{}/24", server.ip());
    for (variable, url, no_proxy, used) in [
        ("HTTPS_PROXY", format!("http://{}", proxy.address), "", true),
        ("https_proxy", proxy.address.clone(), "", true),
        (
            "HTTPS_PROXY",
            format!("http://{}", proxy.address),
            range.as_str(),
            false,
        ),
        // The proxy's own address says nothing of the API server's.
        (
            "HTTPS_PROXY",
            format!("http://{}", proxy.address),
            "127.0.0.1,.corp",
            true,
        ),
    ] {
        proxy.asked.lock().unwrap().clear();
        let mut child = Command::new(std::env::current_exe().unwrap());
        for name in ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
            child.env_remove(name);
        }
        let child = child
            .args(["--ignored", "--nocapture", "looked_at_from_a_process_of_its_own"])
            .env(LOOK, api.kubeconfig())
            .env(variable, &url)
            .env("NO_PROXY", no_proxy)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(said.contains("looked at v1."), "{said}");
        let wanted = if used { vec![server.to_string()] } else { Vec::new() };
        assert_eq!(proxy.asked(), wanted, "{variable}={url} NO_PROXY={no_proxy}");
    }
}

#[test]
#[ignore = "the other half of a test, started by it: the environment is a process's own"]
fn looked_at_from_a_process_of_its_own() {
    let Some(kubeconfig) = std::env::var_os(LOOK) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let facts = look(&target(Path::new(&kubeconfig), folder.path())).unwrap();
    println!("looked at {}", facts.kubernetes);
}

#[test]
fn an_ipv6_address_is_reached_and_the_certificate_is_held_against_the_name_that_is_given() {
    let Some(api) = api("an_ipv6_address") else { return };
    let folder = tempfile::tempdir().unwrap();
    let Ok((_cable, through)) = Cut::at("[::1]:0", &api.kubeconfig(), folder.path()) else {
        let _ = writeln!(std::io::stderr(), "skipped an_ipv6_address: this machine has no IPv6");
        return;
    };
    let text = fs::read_to_string(&through).unwrap();
    // The certificate names no such address.
    let refused = Cluster::open(
        &target(&through, folder.path()),
        &folder.path().join("mirror"),
        || {},
        &Attempt::default(),
    );
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, "certificate", "{refused:?}");
    let named = folder.path().join("named");
    fs::write(&named, of_cluster(&text, "tls-server-name: kubernetes.default")).unwrap();
    let bench = works(api, named, "way-ipv6");
    assert!(
        bench.cluster.server.starts_with("https://[::1]:"),
        "{}",
        bench.cluster.server
    );
}

#[test]
fn a_certificate_that_is_not_checked_connects_and_is_marked() {
    let Some(api) = api("a_certificate_that_is_not_checked") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let unknown = |text: String| {
        let lines = text.lines().filter(|line| !line.contains("certificate-authority-data"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let kubeconfig = changed(api, folder.path(), unknown);
    let open = |kubeconfig: &Path| {
        let target = target(kubeconfig, folder.path());
        Cluster::open(&target, &folder.path().join("mirror"), || {}, &Attempt::default())
    };
    let refused = open(&kubeconfig).unwrap_err();
    assert_eq!(refused.code, "certificate", "{refused:?}");
    let kubeconfig = changed(api, folder.path(), |text| {
        of_cluster(&unknown(text), "insecure-skip-tls-verify: true")
    });
    let cluster = open(&kubeconfig).unwrap();
    assert!(cluster.insecure && contexts(Some(&kubeconfig)).unwrap()[0].insecure);
    assert_eq!(
        cluster.who.as_deref(),
        Some("kubernetes-admin"),
        "by the client's certificate all the same"
    );
}

#[test]
fn a_login_that_kubernetes_has_removed_names_what_has_taken_its_place() {
    let Some(api) = api("a_login_that_kubernetes_has_removed") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (user, code) in [
        (
            "{auth-provider: {name: azure, config: {client-id: s3cret}}}",
            "credentials",
        ),
        (
            "{auth-provider: {name: oidc, config: {client-id: s3cret}}}",
            "credentials",
        ),
        ("{auth-provider: {name: oidc, config: {id-token: s3cret}}}", "expired"),
    ] {
        let file = kubeconfig_of(&api.kubeconfig(), &folder.path().join("old"), user);
        let fault = look(&target(&file, folder.path())).unwrap_err();
        assert_eq!(fault.code, code, "{user}");
        assert!(fault.told().contains("kubelogin"), "{user}: {fault:?}");
        assert!(!format!("{fault:?}").contains("s3cret"), "{fault:?}");
    }
}

#[test]
fn who_logs_in_by_openid_connect_has_their_groups_and_a_token_that_ends_is_had_anew() {
    let Some(api) = api("who_logs_in_by_openid_connect") else {
        return;
    };
    account(api, "unused-oidc", &[], &[]);
    let group = "--group=oidc:way-oidc";
    let role = "--clusterrole=documented-viewer";
    api.text(&["create", "clusterrolebinding", "way-oidc", role, group]);
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, runs) = (api.kubeconfig(), folder.path().join("runs"));
    let issuer = cut::server(&fs::read_to_string(&kubeconfig).unwrap()).ip();
    // What a login program does, without the browser: it asks the issuer, and hands on what that says.
    let script = format!(
        "echo >> {}; printf '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": \
         {{\"token\": \"%s\"}}}}' \"$(curl --silent --fail --cacert {} \
         'https://{issuer}:8443/token?user=way-jane&groups=way-oidc,others&seconds=20')\"",
        runs.display(),
        kubeconfig.with_file_name("ca.crt").display(),
    );
    let program = folder.path().join("login");
    fs::write(&program, script).unwrap();
    let user = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: ['{}']}}}}",
        program.display()
    );
    let bench = Bench::open(kubeconfig_of(&kubeconfig, &folder.path().join("config"), &user));
    assert_eq!(bench.cluster.who.as_deref(), Some("oidc:way-jane"));
    assert!(
        bench.cluster.rights().reach(Feature::FollowLogs).everywhere,
        "by the group"
    );
    let times = || fs::read_to_string(&runs).unwrap().lines().count();
    let before = times();
    eventually("the token to end and another to be had", || {
        bench.cluster.facts().unwrap();
        (times() > before).then_some(())
    });
}
