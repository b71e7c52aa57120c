//! What is redirected by the rules, in either tables of the kernel: by real connections, datagrams and users.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    process::Command,
    thread,
    time::Duration,
};

use nix::sys::socket::{getsockopt, sockopt};

use crate::{
    legacy::{possible, said, unshare},
    trial::binary,
};

/// Set inside a namespace.
const INSIDE: &str = "EGRET_TEST_INSIDE";

/// Runs `body` as the test `name` in a network namespace of its own, in which 198.18.0.0/15 and fd00:198::/64 are on loopback.
/// Of the latter, listeners need the addresses themselves.
fn inside(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if !possible(name) {
        return;
    }
    let script = r#"
        ip link set lo up
        ip route add local 198.18.0.0/15 dev lo src 127.0.0.1
        ip -6 route add local fd00:198::/64 dev lo
        for own in 1 9 54; do ip addr add fd00:198::$own/128 dev lo nodad; done
        exec "$0" "$@""#;
    let mut command = unshare(script);
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1");
    let output = command.output().unwrap();
    assert!(said(&output).contains("1 passed"), "{output:?}");
}

/// A listener that says `word` to everyone, and where they wanted to go.
fn site(address: &str, word: &'static str) {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let wanted = match stream.local_addr().unwrap().ip() {
                IpAddr::V4(_) => getsockopt(&stream.as_fd(), sockopt::OriginalDst)
                    .map(|to| SocketAddr::from((to.sin_addr.s_addr.to_ne_bytes(), u16::from_be(to.sin_port)))),
                IpAddr::V6(_) => getsockopt(&stream.as_fd(), sockopt::Ip6tOriginalDst)
                    .map(|to| SocketAddr::from((to.sin6_addr.s6_addr, u16::from_be(to.sin6_port)))),
            };
            let wanted = wanted.map(|to| to.to_string()).unwrap_or_default();
            stream.write_all(format!("{word} {wanted}").as_bytes()).unwrap();
        }
    });
}

/// A socket that answers `word` to everyone.
fn answers(address: &str, word: &'static str) {
    let socket = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        loop {
            let (_, from) = socket.recv_from(&mut [0; 16]).unwrap();
            socket.send_to(word.as_bytes(), from).unwrap();
        }
    });
}

fn connect(address: &str) -> String {
    let mut said = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut said).unwrap();
    said
}

fn ask(server: &str) -> String {
    let own = if server.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(own).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    socket.connect(server).unwrap();
    socket.send(b"?").unwrap();
    let mut said = [0; 16];
    let length = socket.recv(&mut said).unwrap();
    String::from_utf8_lossy(&said[..length]).into_owned()
}

fn connect_as_proxy(host: &str, port: u16) -> String {
    let read = format!("cat </dev/tcp/{host}/{port}");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1339", "--clear-groups", "--", "bash", "-c", &read]);
    said(&command.output().unwrap())
}

#[test]
fn connections_go_where_the_rules_say_by_either_tables() {
    inside(
        "redirected::connections_go_where_the_rules_say_by_either_tables",
        || {
            for (loopback, net) in [("127.0.0.1", "198.18.0."), ("[::1]", "[fd00:198::")] {
                let end = if loopback.starts_with('[') { "]" } else { "" };
                site(&format!("{loopback}:15001"), "sidecar");
                site(&format!("{loopback}:15953"), "dns");
                answers(&format!("{loopback}:15953"), "dns");
                site(&format!("{net}1{end}:80"), "site");
                site(&format!("{net}9{end}:80"), "site");
                answers(&format!("{net}54{end}:53"), "other server");
            }
            let capture = |arguments: &[&str]| {
                said(&Command::new(binary()).arg("capture").args(arguments).output().unwrap());
            };
            for tables in ["iptables", "nft"] {
                let rules = [
                    "apply",
                    "--with",
                    tables,
                    "--uid=1339",
                    "--exclude-ranges=198.18.0.8/31,fd00:198::9",
                    "--dns-port=15953",
                    "--dns-servers=198.18.0.53,fd00:198::53",
                ];
                capture(&rules);
                for (host, to) in [
                    (
                        "198.18.0.1",
                        ["198.18.0.1:80", "198.18.0.9:80", "198.18.0.53:53", "198.18.0.54:53"],
                    ),
                    (
                        "fd00:198::1",
                        [
                            "[fd00:198::1]:80",
                            "[fd00:198::9]:80",
                            "[fd00:198::53]:53",
                            "[fd00:198::54]:53",
                        ],
                    ),
                ] {
                    let [captured, excluded, dns, other] = to;
                    assert_eq!(connect(captured), format!("sidecar {captured}"), "{tables}");
                    assert!(connect(excluded).starts_with("site"), "{tables}: {excluded}");
                    assert!(connect_as_proxy(host, 80).starts_with("site"), "{tables}: {host}");
                    assert_eq!(ask(dns), "dns", "{tables}: {dns}");
                    assert_eq!(connect(dns), format!("dns {dns}"), "{tables}");
                    assert_eq!(ask(other), "other server", "{tables}: {other}");
                }
                capture(&["remove"]);
                for captured in ["198.18.0.1:80", "[fd00:198::1]:80"] {
                    assert!(connect(captured).starts_with("site"), "{tables}: {captured}");
                }
            }
        },
    );
}
