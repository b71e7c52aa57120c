//! What connections to upstreams begin with: a header of the PROXY protocol, and TLS with whom a DestinationRule trusts.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use crate::{
    site,
    subject::{PATIENCE, Subject, entry, host, map, mesh, routes, through},
};

/// A DestinationRule; `policy` is its traffic policy in YAML's flow style.
pub fn rule(host: &str, policy: &str) -> String {
    let name = host.replace('.', "-");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: default}}\nspec: \
         {{host: {host}, trafficPolicy: {policy}}}\n"
    )
}

/// A sidecar of one worker that finds all of `hosts` at `site`, and trusts what is in `trust`.
pub fn sidecar(trust: &Path, port: u16, hosts: &[&str], site: &site::Site, policy: Vec<String>) -> Subject {
    let mut options = vec!["--workers".to_string(), "1".into()];
    options.extend(map(&format!("198.18.0.10:{port}"), site.address));
    for name in hosts {
        options.extend(host(name, "198.18.0.10"));
    }
    Subject::start_trusting(trust, &[vec![mesh("REGISTRY_ONLY")], policy].concat(), &options)
}

#[test]
fn an_upstream_learns_by_the_proxy_protocol_who_has_called_whom() {
    for version in ["1", "2"] {
        let site = site::proxied();
        let name = "proxied.example.com";
        let policy = vec![
            entry(name, 80, "HTTP"),
            rule(name, &format!("{{proxyProtocol: {{version: V{version}}}}}")),
        ];
        let subject = sidecar(Path::new("/dev/null"), 80, &[name], &site, policy);
        let url = format!("http://{name}/");
        through(&subject, &[&url, &url]);
        assert_eq!(site.connections(), 1, "requests of one caller's connection share one");
        through(&subject, &[&url]);
        assert_eq!(site.connections(), 2, "another caller's does not");
        let log = subject.log(3);
        let callers: Vec<&str> = log
            .iter()
            .map(|line| line.split(' ').rfind(|token| token.starts_with("127.0.0.1:")).unwrap())
            .collect();
        let heads = site.heads();
        let told: Vec<&String> = heads.iter().filter(|head| head.starts_with(version)).collect();
        let expected = [0, 2].map(|at| format!("{version} {} 198.18.0.10:80", callers[at]));
        assert_eq!(told, expected.iter().collect::<Vec<_>>(), "{log:?}");
        assert_eq!(heads.len(), 2 + 3);
    }
}

#[test]
fn a_caller_does_not_wait_for_the_only_connection_where_that_tells_of_another_caller() {
    let site = site::proxied();
    let name = "proxied.example.com";
    let limit = "{proxyProtocol: {}, connectionPool: {tcp: {maxConnections: 1}}}";
    let policy = vec![entry(name, 80, "HTTP"), rule(name, limit)];
    let subject = sidecar(Path::new("/dev/null"), 80, &[name], &site, policy);
    for callers in 1..=2 {
        assert_eq!(through(&subject, &[&format!("http://{name}/")]).status(), 200);
        assert_eq!(site.connections(), callers);
    }
}

#[test]
fn a_stream_begins_with_the_proxy_protocol_before_its_own_bytes() {
    let site = site::proxied();
    let name = "proxied.example.com";
    let policy = vec![entry(name, 5432, "TCP"), rule(name, "{proxyProtocol: {}}")];
    let subject = sidecar(Path::new("/dev/null"), 5432, &[name], &site, policy);
    let mut stream = TcpStream::connect(subject.explicit).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "CONNECT {name}:5432 HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = vec![0; "HTTP/1.1 200 Connection established\r\n\r\n".len()];
    stream.read_exact(&mut answer).unwrap();
    write!(stream, "GET /bytes/3 HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 Of");
    let caller = stream.local_addr().unwrap();
    assert_eq!(site.heads()[0], format!("1 {caller} 198.18.0.10:5432"));
}

#[test]
fn a_stream_goes_through_the_proxy_of_its_tunnel() {
    for (answer, leads) in [
        ("HTTP/1.1 200 OK\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\nx-one: 1\r\n\r\n", true),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", false),
        ("neither\r\n\r\n", false),
    ] {
        let site = site::proxy(answer);
        let name = "proxy.example.com";
        let tunnel = "{tunnel: {targetHost: far.example.com, targetPort: 443}}";
        let policy = vec![entry(name, 5432, "TCP"), rule(name, tunnel)];
        let subject = sidecar(Path::new("/dev/null"), 5432, &[name], &site, policy);
        let mut stream = TcpStream::connect(subject.explicit).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "CONNECT {name}:5432 HTTP/1.1\r\n\r\n").unwrap();
        let mut established = vec![0; "HTTP/1.1 200 Connection established\r\n\r\n".len()];
        stream.read_exact(&mut established).unwrap();
        // Who is cut may be so before this is written.
        let _ = write!(stream, "GET /bytes/3 HTTP/1.1\r\nconnection: close\r\n\r\n");
        let mut answered = [0; 15];
        let read = stream.read_exact(&mut answered);
        assert_eq!(read.is_ok() && &answered == b"HTTP/1.1 200 Of", leads, "{answer}");
        drop(stream);
        let line = &subject.log(1)[0];
        assert_eq!(line.contains(" UF,URX "), !leads, "{line}");
        assert_eq!(line.contains("tunnel_response:403"), answer.contains("403"), "{line}");
        let asked = "CONNECT far.example.com:443 HTTP/1.1\r\nhost: far.example.com:443\r\n\r\n";
        assert_eq!(site.heads()[0], asked);
    }
}

#[test]
fn what_the_system_trusts_is_read_once_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (trust, later) = (folder.path().join("trust.pem"), folder.path().join("later.pem"));
    let name = "secure.example.com";
    let site = site::https(&[name], &trust);
    let policy = vec![entry(name, 80, "HTTP"), rule(name, "{tls: {mode: SIMPLE}}")];
    let subject = sidecar(&later, 80, &[name], &site, policy);
    let status = || through(&subject, &[&format!("http://{name}/")]).status();
    assert_eq!(status(), 503);
    fs::copy(&trust, &later).unwrap();
    assert_eq!(status(), 200);
}

#[test]
fn a_certificate_is_asked_for_what_the_rule_says() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.pem");
    let site = site::https(&["other.example.com", "third.example.com"], &trust);
    let nobody = Path::new("/dev/null");
    for (tls, trusted, reached) in [
        ("", &*trust, false),
        ("sni: other.example.com", &trust, true),
        // Envoy: who is told a name is not asked for it.
        ("sni: nobody.example.com", &trust, true),
        ("sni: other.example.com", nobody, false),
        ("subjectAltNames: [third.example.com]", &trust, true),
        ("subjectAltNames: [nobody.example.com, other.example.com]", &trust, true),
        ("subjectAltNames: [nobody.example.com]", &trust, false),
        (
            "sni: other.example.com, subjectAltNames: [nobody.example.com]",
            &trust,
            false,
        ),
        ("subjectAltNames: [third.example.com]", nobody, false),
        ("insecureSkipVerify: true", nobody, true),
    ] {
        let name = "secure.example.com";
        let policy = vec![
            entry(name, 80, "HTTP"),
            rule(name, &format!("{{tls: {{mode: SIMPLE, {tls}}}}}")),
        ];
        let subject = sidecar(trusted, 80, &[name], &site, policy);
        let answer = through(&subject, &[&format!("http://{name}/")]);
        let expected = if reached { 200 } else { 503 };
        assert_eq!(answer.status(), expected, "{tls}, {trusted:?}: {}", answer.body);
        if !reached {
            let line = &subject.log(1)[0];
            assert!(
                line.contains("UF upstream_reset_before_response_started{remote_connection_failure|TLS_error"),
                "{line}"
            );
        }
    }
}

#[test]
fn a_connection_with_whom_nobody_verified_serves_no_other_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.pem");
    let site = site::https(&["other.example.com"], &trust);
    let (lax, strict) = ("lax.example.com", "strict.example.com");
    let policy = vec![
        entry(lax, 80, "HTTP"),
        entry(strict, 80, "HTTP"),
        rule(
            lax,
            "{tls: {mode: SIMPLE, sni: same.example.com, insecureSkipVerify: true}}",
        ),
        rule(strict, "{tls: {mode: SIMPLE, sni: same.example.com}}"),
    ];
    let subject = sidecar(Path::new("/dev/null"), 80, &[lax, strict], &site, policy);
    for (name, expected) in [(lax, 200), (strict, 503), (lax, 200)] {
        assert_eq!(
            through(&subject, &[&format!("http://{name}/")]).status(),
            expected,
            "{name}"
        );
    }
}

/// HTTP from the application, TLS on the wire.
fn originating(host: &str) -> [String; 3] {
    let entry = entry(host, 80, "HTTP").replace("protocol: HTTP}", "protocol: HTTP, targetPort: 443}");
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: tls, namespace: default}}\nspec:\n  host: {host}\n  trafficPolicy: {{tls: {{mode: SIMPLE}}}}\n"
    );
    [mesh("REGISTRY_ONLY"), entry, rule]
}

#[test]
fn tls_is_originated_where_a_destination_rule_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("site.pem");
    let site = site::https(&["api.example.com"], &trust);
    let options = [
        host("api.example.com", "198.18.0.40"),
        map("198.18.0.40:443", site.address),
        ["--workers".into(), "1".into()],
    ]
    .concat();
    let subject = Subject::start_trusting(&trust, &originating("api.example.com"), &options);
    for _ in 0..2 {
        let answer = through(&subject, &["http://api.example.com/headers"]);
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(answer.head.contains("server: envoy"), "{}", answer.head);
    }
    assert_eq!(site.connections(), 1, "the TLS connection is kept");
    assert!(subject.log(1)[0].contains("\"198.18.0.40:443\" outbound|80||api.example.com "));
}

#[test]
fn an_upstream_that_is_not_trusted_gets_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let (trust, other) = (folder.path().join("site.pem"), folder.path().join("other.pem"));
    let site = site::https(&["api.example.com"], &trust);
    site::https(&["api.example.com"], &other);
    // Another authority; the right one, but for another name.
    for (trust, name) in [(&other, "api.example.com"), (&trust, "other.example.com")] {
        let options = [host(name, "198.18.0.40"), map("198.18.0.40:443", site.address)].concat();
        let subject = Subject::start_trusting(trust, &originating(name), &options);
        assert_eq!(through(&subject, &[&format!("http://{name}/")]).status(), 503);
        let line = subject.log(1).remove(0);
        assert!(
            line.contains(" 503 URX,UF upstream_reset_before_response_started{remote_connection_failure|TLS_error:_"),
            "{line}"
        );
        assert_eq!(
            line.matches('"').count(),
            14,
            "seven columns are quoted, whatever TLS says: {line}"
        );
        assert_eq!(site.last_head(), "");
    }
}

#[test]
fn tls_is_originated_for_byte_streams_too() {
    let folder = tempfile::tempdir().unwrap();
    let (trust, other) = (folder.path().join("site.pem"), folder.path().join("other.pem"));
    let site = site::https(&["db.example.com"], &trust);
    site::https(&["db.example.com"], &other);
    let policy = |tls: &str| {
        let rule = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: tls, namespace: default}}\nspec:\n  host: db.example.com\n  trafficPolicy: {{tls: {tls}}}\n"
        );
        [mesh("REGISTRY_ONLY"), entry("db.example.com", 5432, "TCP"), rule]
    };
    let options = [
        host("db.example.com", "198.18.0.40"),
        map("198.18.0.40:5432", site.address),
    ]
    .concat();
    let ask = |trust: &Path, tls: &str| {
        let subject = Subject::start_trusting(trust, &policy(tls), &options);
        let answer = through(&subject, &["--proxytunnel", "http://db.example.com:5432/headers"]);
        (answer.status(), subject.log(1).remove(0))
    };
    // Envoy: only where a name is written is it sent, and only those of subjectAltNames are looked for in the certificate.
    for tls in [
        "{mode: SIMPLE}",
        "{mode: SIMPLE, sni: other.example.com}",
        "{mode: SIMPLE, subjectAltNames: [spiffe://a/b, db.example.com]}",
    ] {
        let (status, line) = ask(&trust, tls);
        assert_eq!(status, 200, "{line}");
        assert!(
            line.contains("\"198.18.0.40:5432\" outbound|5432||db.example.com "),
            "{line}"
        );
    }
    let connections = site.connections();
    for (trust, tls) in [
        (&other, "{mode: SIMPLE}"),
        (&other, "{mode: SIMPLE, sni: db.example.com}"),
        (&trust, "{mode: SIMPLE, subjectAltNames: [other.example.com]}"),
    ] {
        let (status, line) = ask(trust, tls);
        assert_eq!(status, 0, "{line}");
        assert!(line.contains(" 0 UF,URX - - \"TLS_error:_"), "{line}");
    }
    assert_eq!(site.connections(), connections + 3);
    assert!(site.last_head().contains("/headers"), "nothing is sent where TLS fails");
}

#[test]
fn an_attempts_time_begins_when_its_connection_is_there_tls_included() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.pem");
    let name = "late.example.com";
    let site = site::late_https(&[name], &trust, Duration::from_secs(1));
    let limit = "retries: {attempts: 1, perTryTimeout: 300ms, retryOn: gateway-error}";
    let policy = vec![
        entry(name, 80, "HTTP"),
        rule(name, "{tls: {mode: SIMPLE}}"),
        routes(
            name,
            &format!("[{{{limit}, route: [{{destination: {{host: {name}}}}}]}}]"),
        ),
    ];
    let subject = sidecar(&trust, 80, &[name], &site, policy);
    assert_eq!(through(&subject, &[&format!("http://{name}/")]).status(), 200);
    assert_eq!(site.connections(), 1);
    // From then on it runs.
    let slow = through(&subject, &[&format!("http://{name}/delay/2")]);
    assert_eq!(slow.status(), 504);
    let line = &subject.log(2)[1];
    assert!(line.contains(" 504 URX,UT upstream_per_try_timeout "), "{line}");
}
