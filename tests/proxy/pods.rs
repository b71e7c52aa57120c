//! A pod's network with the rules that `capture apply` sets there: IPv6 beside IPv4, and DNS.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    namespace::inside,
    site,
    subject::{PATIENCE, Subject, binary, curl, entry, eventually, host, map, mesh},
};

/// Two addresses of a host, one of each family, of a server that speaks first.
const DATABASE: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: default}
spec:
  hosts: [db.example]
  addresses: [198.18.0.20, 'fd00:198::20']
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 198.18.0.50}]
";

/// Names that the sidecar answers.
const CAPTURES_DNS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}
";

/// Puts the rules in force. Nobody here is the sidecar's user; what it sends itself is mapped to loopback.
fn apply(options: &[&str]) {
    let applied = Command::new(binary())
        .args(["capture", "apply", "--port=15901", "--uid=4294967294"])
        .args(options)
        .output()
        .unwrap();
    assert!(applied.status.success(), "{applied:?}");
}

/// A sidecar that takes what those rules redirect, of both families.
fn sidecar(policy: &[String], options: &[Vec<String>]) -> Subject {
    let both = ["--outbound".to_string(), "[::1]:15901".to_string()];
    let options: Vec<String> = both.into_iter().chain(options.concat()).collect();
    Subject::start_on("127.0.0.1:15901", policy, &options)
}

fn greeted(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = [0; 22];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello from the server\n");
}

/// A connection to an address that was set just now: the kernel adds its route a moment later.
fn connected(address: SocketAddr) -> TcpStream {
    eventually("a route to an address", || match TcpStream::connect(address) {
        Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => None,
        connected => Some(connected.unwrap()),
    })
}

#[test]
fn both_families_are_captured_and_what_is_the_pods_own_is_not() {
    inside(
        "pods::both_families_are_captured_and_what_is_the_pods_own_is_not",
        || {
            let (http, database) = (site::http(), site::speaks_first());
            let subject = sidecar(
                &[mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP"), DATABASE.into()],
                &[
                    host("httpbin.org", "198.18.0.10").into(),
                    map("198.18.0.10:80", http.address).into(),
                    map("198.18.0.50:5432", database.address).into(),
                ],
            );
            apply(&["--exclude-ranges=fd00::3"]);
            for (at, address) in ["198.18.0.10", "[fd00:198::10]"].into_iter().enumerate() {
                let get = |host: &str| {
                    curl(&[
                        "--resolve",
                        &format!("{host}:80:{address}"),
                        &format!("http://{host}/headers"),
                    ])
                };
                assert_eq!(
                    (get("httpbin.org").status(), get("other.example").status()),
                    (200, 502),
                    "{address}"
                );
                let log = subject.log(2 * at + 2);
                let (passed, blocked) = (&log[2 * at], &log[2 * at + 1]);
                assert!(
                    passed.contains("outbound|80||httpbin.org") && passed.contains(&format!(" {address}:80 ")),
                    "{passed}"
                );
                assert!(
                    blocked.contains("block_all") && blocked.contains(&format!(" {address}:80 ")),
                    "{blocked}"
                );
            }
            for (at, address) in ["198.18.0.20:5432", "[fd00:198::20]:5432"].into_iter().enumerate() {
                greeted(TcpStream::connect(address).unwrap());
                let line = subject.log(at + 5).remove(at + 4);
                assert!(
                    line.contains("outbound|5432||db.example") && line.contains(&format!(" {address} ")),
                    "{line}"
                );
            }

            // Loopback, link-local addresses and excluded ranges of IPv6 are nothing that the sidecar sees.
            let set = ["addr", "add", "fe80::7/64", "dev", "lo", "nodad"];
            assert!(Command::new("ip").args(set).status().unwrap().success());
            let own = TcpListener::bind("[::]:8080").unwrap();
            for address in ["[::1]:8080", "[fe80::7%1]:8080", "[fd00::3]:8080"] {
                let _caller = connected(address.parse().unwrap());
                let (_taken, from) = own.accept().unwrap();
                assert!(from.is_ipv6(), "{address}");
            }
            assert_eq!(subject.log(6).len(), 6);
        },
    );
}

#[test]
fn hosts_on_one_port_are_told_apart_by_the_addresses_that_dns_gives_them() {
    inside(
        "pods::hosts_on_one_port_are_told_apart_by_the_addresses_that_dns_gives_them",
        || {
            let [one, two] = [site::speaks_first(), site::speaks_first()];
            let upstream = upstream();
            let allocated = |host: &str, address: &str| {
                let status = format!("status: {{addresses: [{{value: {address}, host: {host}}}]}}\n");
                entry(host, 5432, "TCP") + &status
            };
            let policy = [
                allocated("one.example", "240.240.0.1"),
                allocated("two.example", "240.240.0.2"),
            ];
            let subject = sidecar(
                &[&[CAPTURES_DNS.to_string()], &policy[..]].concat(),
                &[
                    host("one.example", "198.18.0.61").into(),
                    host("two.example", "198.18.0.62").into(),
                    map("198.18.0.61:5432", one.address).into(),
                    map("198.18.0.62:5432", two.address).into(),
                    [
                        "--dns",
                        "127.0.0.1:15953",
                        "--dns",
                        "[::1]:15953",
                        "--dns-server",
                        &upstream.to_string(),
                    ]
                    .map(String::from)
                    .into(),
                ],
            );
            let route = ["route", "add", "240.240.0.0/16", "dev", "lo", "src", "10.1.2.3"];
            assert!(Command::new("ip").args(route).status().unwrap().success());
            apply(&["--dns-port=15953", "--dns-servers=198.18.0.53,fd00:198::53"]);

            for server in ["198.18.0.53:53", "[fd00:198::53]:53"] {
                let server: SocketAddr = server.parse().unwrap();
                for ask in [over_udp, over_tcp] {
                    assert_eq!(
                        ask(server, "one.example", A),
                        (Flags::AUTHORITY, vec!["240.240.0.1".into()]),
                        "{server}"
                    );
                    assert_eq!(
                        ask(server, "TWO.example", A),
                        (Flags::AUTHORITY, vec!["240.240.0.2".into()]),
                        "{server}"
                    );
                    assert_eq!(ask(server, "one.example", AAAA), (Flags::AUTHORITY, vec![]), "{server}");
                    // What it does not know is asked on as it came.
                    assert_eq!(
                        ask(server, "elsewhere.test", A),
                        (0, vec!["203.0.113.9".into()]),
                        "{server}"
                    );
                    assert_eq!(
                        ask(server, "one.example", MX),
                        (0, vec!["203.0.113.9".into()]),
                        "{server}"
                    );
                }
            }
            for (name, site) in [("one.example", &one), ("two.example", &two)] {
                let (_, addresses) = over_udp("198.18.0.53:53".parse().unwrap(), name, A);
                greeted(TcpStream::connect(format!("{}:5432", addresses[0])).unwrap());
                assert_eq!(site.connections(), 1, "{name}");
            }
            let clusters = subject.log(2).join("\n");
            for name in ["one", "two"] {
                assert!(
                    clusters.contains(&format!("outbound|5432||{name}.example")),
                    "{clusters}"
                );
            }

            // Names follow the policy in force, and belong to nobody here where the workload does not capture DNS.
            let all_answered = |expected: &str| {
                eventually(expected, || {
                    let (_, addresses) = over_udp("198.18.0.53:53".parse().unwrap(), "one.example", A);
                    (addresses == [expected]).then_some(())
                });
            };
            subject.set_policy(&[CAPTURES_DNS.into(), allocated("one.example", "240.240.0.3")]);
            all_answered("240.240.0.3");
            subject.set_policy(&[mesh("REGISTRY_ONLY"), policy[0].clone()]);
            all_answered("203.0.113.9");
        },
    );
}

#[test]
fn a_choice_about_dns_goes_before_the_configuration() {
    inside("pods::a_choice_about_dns_goes_before_the_configuration", || {
        let upstream = upstream().to_string();
        let allocated =
            entry("one.example", 5432, "TCP") + "status: {addresses: [{value: 240.240.0.1, host: one.example}]}\n";
        for (configuration, chosen, answered) in [
            (mesh("REGISTRY_ONLY"), "true", (Flags::AUTHORITY, "240.240.0.1")),
            (CAPTURES_DNS.to_string(), "false", (0, "203.0.113.9")),
        ] {
            let options = [
                "--dns",
                "127.0.0.1:15953",
                "--dns-server",
                &upstream,
                "--dns-capture",
                chosen,
            ];
            let _subject = sidecar(&[configuration, allocated.clone()], &[options.map(String::from).into()]);
            let (author, addresses) = over_udp("127.0.0.1:15953".parse().unwrap(), "one.example", A);
            assert_eq!(
                (author, addresses),
                (answered.0, vec![answered.1.to_string()]),
                "{chosen}"
            );
        }
    });
}

#[test]
fn names_that_the_sidecar_knows_are_answered_while_the_servers_are_silent() {
    inside(
        "pods::names_that_the_sidecar_knows_are_answered_while_the_servers_are_silent",
        || {
            let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
            let server = silent.local_addr().unwrap().to_string();
            let known =
                entry("one.example", 5432, "TCP") + "status: {addresses: [{value: 240.240.0.1, host: one.example}]}\n";
            let options = ["--dns", "127.0.0.1:15953", "--dns-server", &server];
            let _subject = sidecar(&[CAPTURES_DNS.to_string(), known], &[options.map(String::from).into()]);
            let to: SocketAddr = "127.0.0.1:15953".parse().unwrap();
            let asks = UdpSocket::bind("127.0.0.1:0").unwrap();
            // More than are asked on at a time, and not faster than they can be taken.
            for number in 0..300 {
                asks.send_to(&question(&format!("{number}.test"), A), to).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(
                over_udp(to, "one.example", A),
                (Flags::AUTHORITY, vec!["240.240.0.1".into()])
            );
        },
    );
}

const A: u16 = 1;
const MX: u16 = 15;
const AAAA: u16 = 28;

/// Bits of a message's head.
struct Flags;

impl Flags {
    const QUESTION: u16 = 0x0100;
    const ANSWER: u16 = 0x8180;
    const AUTHORITY: u16 = 0x0400;
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [7, Flags::QUESTION, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(1_u16.to_be_bytes());
    message
}

/// Whether an answer is its author's own, and its addresses.
fn read(question: &[u8], answer: &[u8]) -> (u16, Vec<String>) {
    let word = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    assert_eq!((word(0), word(2) & !Flags::AUTHORITY), (7, Flags::ANSWER), "{answer:?}");
    let (mut at, mut addresses) = (question.len(), Vec::new());
    for _ in 0..word(6) {
        while answer[at] != 0 && answer[at] & 0xc0 == 0 {
            at += usize::from(answer[at]) + 1;
        }
        at += if answer[at] == 0 { 1 } else { 2 };
        let (kind, length) = (word(at), usize::from(word(at + 8)));
        let data = &answer[at + 10..at + 10 + length];
        if kind == A {
            addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).unwrap()).to_string());
        }
        at += 10 + length;
    }
    (word(2) & Flags::AUTHORITY, addresses)
}

fn over_udp(server: SocketAddr, name: &str, kind: u16) -> (u16, Vec<String>) {
    let any: IpAddr = if server.is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap();
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // Connected: an answer from another address than the server's would not be taken.
    socket.connect(server).unwrap();
    let question = question(name, kind);
    socket.send(&question).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    read(&question, &answer[..length])
}

fn over_tcp(server: SocketAddr, name: &str, kind: u16) -> (u16, Vec<String>) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let question = question(name, kind);
    stream.write_all(&(question.len() as u16).to_be_bytes()).unwrap();
    stream.write_all(&question).unwrap();
    read(&question, &framed(&mut stream))
}

fn framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

/// A DNS server that has one address for whatever it is asked.
fn upstream() -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).unwrap();
    let answer = |question: &[u8]| {
        let mut answer = question.to_vec();
        answer[2..4].copy_from_slice(&Flags::ANSWER.to_be_bytes());
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, A as u8, 0, 1, 0, 0, 0, 9, 0, 4, 203, 0, 113, 9]);
        answer
    };
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut question) {
            udp.send_to(&answer(&question[..length]), from).unwrap();
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let answer = answer(&framed(&mut stream));
            stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    address
}
