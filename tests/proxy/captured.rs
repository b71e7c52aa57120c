//! Redirected connections: the original destination comes from the kernel, the client knows of no proxy.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::{
    namespace::inside,
    site::{self, Site},
    subject::{PATIENCE, Subject, curl, entry, mesh, shape, timeout},
};

struct Sites {
    http: Site,
    mongo: Site,
    tls: Site,
    folder: tempfile::TempDir,
}

impl Sites {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            http: site::http(),
            mongo: site::speaks_first(),
            tls: site::https(&["www.google.com", "edition.cnn.com"], &folder.path().join("site.pem")),
            folder,
        }
    }

    fn sidecar(&self, policy: &[String]) -> Subject {
        let mut options: Vec<String> = [
            "httpbin.org=198.18.0.10",
            "www.google.com=198.18.0.20",
            "edition.cnn.com=198.18.0.30",
        ]
        .iter()
        .flat_map(|host| ["--host".to_string(), host.to_string()])
        .collect();
        for (from, to) in [
            ("198.18.0.10:80", &self.http),
            ("198.18.0.99:80", &self.http),
            ("[fd00:198::10]:80", &self.http),
            ("198.18.0.20:443", &self.tls),
            ("198.18.0.30:443", &self.tls),
            ("198.18.0.50:27017", &self.mongo),
        ] {
            options.extend(["--map".to_string(), format!("{from}={}", to.address)]);
        }
        Subject::start_on("[::]:15001", policy, &options)
    }

    fn curl(&self, host: &str, address: &str, url: &str) -> crate::subject::Curl {
        let port = if url.starts_with("https") { 443 } else { 80 };
        let resolve = format!("{host}:{port}:{address}");
        let trust = self.folder.path().join("site.pem");
        curl(&["--resolve", &resolve, "--cacert", trust.to_str().unwrap(), url])
    }
}

fn httpbin() -> String {
    entry("httpbin.org", 80, "HTTP")
}

fn google() -> String {
    entry("www.google.com", 443, "HTTPS")
}

#[test]
fn the_seed_story_200_35_502_200_504() {
    inside("captured::the_seed_story_200_35_502_200_504", || {
        let sites = Sites::start();
        // Any HTTP entry gives port 80 its HTTP listener.
        let other = entry("api.example.com", 80, "HTTP");
        let subject = sites.sidecar(&[mesh("ALLOW_ANY"), other.clone()]);
        let google_get = || sites.curl("www.google.com", "198.18.0.20", "https://www.google.com/headers");
        let httpbin_get = |path: &str| sites.curl("httpbin.org", "198.18.0.10", &format!("http://httpbin.org{path}"));
        assert_eq!((google_get().exit, google_get().status()), (0, 200));
        assert_eq!(httpbin_get("/headers").status(), 200);

        subject.set_policy(&[mesh("REGISTRY_ONLY"), other.clone()]);
        assert_eq!(google_get().exit, 35);
        let blocked = httpbin_get("/headers");
        assert_eq!((blocked.status(), blocked.body.as_str()), (502, ""));

        subject.set_policy(&[mesh("REGISTRY_ONLY"), httpbin()]);
        let allowed = httpbin_get("/headers");
        assert_eq!(allowed.status(), 200);
        assert!(
            allowed.body.contains("x-envoy-decorator-operation: httpbin.org:80/*"),
            "{}",
            allowed.body
        );

        subject.set_policy(&[mesh("REGISTRY_ONLY"), httpbin(), google()]);
        assert_eq!(google_get().status(), 200);

        subject.set_policy(&[mesh("REGISTRY_ONLY"), httpbin(), google(), timeout("httpbin.org", "1s")]);
        assert_eq!(httpbin_get("/delay/5").status(), 504);

        let log = subject.log(8);
        let length = |line: &str| line.split(' ').nth(10).unwrap().to_string();
        let expected = [
            format!("[TIME] \"- - -\" 0 - - - \"-\" {} {} MS - \"-\" \"-\" \"-\" \"-\" \"198.18.0.20:443\" PassthroughCluster LOCAL 198.18.0.20:443 LOCAL - -", log[0].split(' ').nth(9).unwrap(), length(&log[0])),
            shape(&log[1]),
            format!("[TIME] \"GET /headers HTTP/1.1\" 200 - via_upstream - \"-\" 0 {} MS MS \"-\" \"curl/test\" \"ID\" \"httpbin.org\" \"198.18.0.10:80\" PassthroughCluster LOCAL 198.18.0.10:80 LOCAL - allow_any", length(&log[2])),
            "[TIME] \"- - -\" 0 UH - - \"-\" 0 0 MS - \"-\" \"-\" \"-\" \"-\" \"-\" BlackHoleCluster - 198.18.0.20:443 LOCAL - -".into(),
            "[TIME] \"GET /headers HTTP/1.1\" 502 - direct_response - \"-\" 0 0 MS - \"-\" \"curl/test\" \"ID\" \"httpbin.org\" \"-\" - - 198.18.0.10:80 LOCAL - block_all".into(),
            format!("[TIME] \"GET /headers HTTP/1.1\" 200 - via_upstream - \"-\" 0 {} MS MS \"-\" \"curl/test\" \"ID\" \"httpbin.org\" \"198.18.0.10:80\" outbound|80||httpbin.org LOCAL 198.18.0.10:80 LOCAL - default", allowed.body.len()),
            format!("[TIME] \"- - -\" 0 - - - \"-\" {} {} MS - \"-\" \"-\" \"-\" \"-\" \"198.18.0.20:443\" outbound|443||www.google.com LOCAL 198.18.0.20:443 LOCAL www.google.com -", log[6].split(' ').nth(9).unwrap(), length(&log[6])),
            "[TIME] \"GET /delay/5 HTTP/1.1\" 504 UT response_timeout - \"-\" 0 24 MS - \"-\" \"curl/test\" \"ID\" \"httpbin.org\" \"198.18.0.10:80\" outbound|80||httpbin.org LOCAL 198.18.0.10:80 LOCAL - -".into(),
        ];
        let shapes: Vec<String> = log.iter().map(|line| shape(line)).collect();
        assert_eq!(shapes, expected);
        assert!(log[2].contains(" 10.1.2.3:"), "the caller's own address: {}", log[2]);
    });
}

#[test]
fn a_split_hello_is_put_together_before_the_decision() {
    inside("captured::a_split_hello_is_put_together_before_the_decision", || {
        let sites = Sites::start();
        let subject = sites.sidecar(&[mesh("REGISTRY_ONLY"), google()]);
        for (name, passes) in [("www.google.com", true), ("edition.cnn.com", false)] {
            let mut stream = TcpStream::connect("198.18.0.20:443").unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in client_hello(name).chunks(40) {
                stream.write_all(piece).unwrap();
                thread::sleep(Duration::from_millis(5));
            }
            let mut first = [0; 1];
            match stream.read(&mut first) {
                // The site's own handshake record.
                Ok(1) => assert!(passes && first[0] == 0x16, "{name}: {first:?}"),
                other => assert!(!passes, "{name}: {other:?}"),
            }
        }
        let log = subject.log(2);
        assert!(
            log.iter()
                .any(|line| line.contains(" UH ") && line.ends_with(" edition.cnn.com -")),
            "{log:?}"
        );
        assert!(
            log.iter().any(|line| line.contains("outbound|443||www.google.com")),
            "{log:?}"
        );
    });
}

/// The first flight of a real client.
fn client_hello(name: &str) -> Vec<u8> {
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut client =
        rustls::ClientConnection::new(std::sync::Arc::new(config), name.to_string().try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn servers_may_speak_first_where_nothing_inspects() {
    inside("captured::servers_may_speak_first_where_nothing_inspects", || {
        let sites = Sites::start();
        let subject = sites.sidecar(&[mesh("ALLOW_ANY")]);
        let mut stream = TcpStream::connect("198.18.0.50:27017").unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut greeting = [0; 22];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"hello from the server\n");

        // An open stream outlives the switch; the next one is cut, silent as it is.
        subject.set_policy(&[mesh("REGISTRY_ONLY")]);
        stream.write_all(b"still here").unwrap();
        let mut echo = [0; 10];
        stream.read_exact(&mut echo).unwrap();
        let mut cut = TcpStream::connect("198.18.0.50:27017").unwrap();
        cut.set_read_timeout(Some(PATIENCE)).unwrap();
        match cut.read(&mut [0; 1]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("expected the end of the connection, got {other:?}"),
        }
        assert!(subject.log(1)[0].contains("BlackHoleCluster - 198.18.0.50:27017"));
    });
}

#[test]
fn ipv6_destinations_are_known_too() {
    inside("captured::ipv6_destinations_are_known_too", || {
        let sites = Sites::start();
        let subject = sites.sidecar(&[mesh("ALLOW_ANY"), httpbin()]);
        let answer = sites.curl("other.example.com", "[fd00:198::10]", "http://other.example.com/");
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(subject.log(1)[0].contains("PassthroughCluster"));
        assert!(
            subject.log(1)[0].contains(" [fd00:198::10]:80 "),
            "{}",
            subject.log(1)[0]
        );
    });
}

#[test]
fn a_host_name_is_a_claim_and_the_registered_address_is_dialled() {
    inside(
        "captured::a_host_name_is_a_claim_and_the_registered_address_is_dialled",
        || {
            let sites = Sites::start();
            let subject = sites.sidecar(&[mesh("REGISTRY_ONLY"), httpbin()]);
            // The caller pairs an allowed name with an address of its own choice.
            assert_eq!(
                sites.curl("httpbin.org", "198.18.0.99", "http://httpbin.org/").status(),
                200
            );
            let line = subject.log(1).remove(0);
            assert!(
                line.contains("\"198.18.0.10:80\" outbound|80||httpbin.org") && line.contains(" 198.18.0.99:80 "),
                "{line}"
            );
        },
    );
}

#[test]
fn nobody_reaches_anything_by_dialling_the_capture_port() {
    inside("captured::nobody_reaches_anything_by_dialling_the_capture_port", || {
        let sites = Sites::start();
        let subject = sites.sidecar(&[mesh("ALLOW_ANY"), httpbin()]);
        for address in ["127.0.0.1:15001", "[::1]:15001", "10.1.2.3:15001"] {
            let answer = curl(&[&format!("http://{address}/"), "-H", "Host: httpbin.org"]);
            // 7: cut so early that curl takes it for a failed connect.
            assert!(matches!(answer.exit, 7 | 52 | 56), "{address}: {answer:?}");
        }
        assert_eq!(sites.http.connections(), 0);
        drop(subject);
    });
}

#[test]
fn connect_and_strange_upgrades_are_answered_as_envoy_does() {
    inside(
        "captured::connect_and_strange_upgrades_are_answered_as_envoy_does",
        || {
            let sites = Sites::start();
            let subject = sites.sidecar(&[mesh("ALLOW_ANY"), httpbin()]);
            let ask = |request: &str| {
                let mut stream = TcpStream::connect("198.18.0.10:80").unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    answer.extend(byte);
                }
                String::from_utf8(answer).unwrap()
            };
            for (number, (request, status, row)) in [
                (
                    "CONNECT httpbin.org:443 HTTP/1.1\r\nHost: httpbin.org:443\r\n\r\n",
                    404,
                    "\"CONNECT - HTTP/1.1\" 404 NR route_not_found",
                ),
                ("GET / HTTP/1.1\r\n\r\n", 400, " 400 - missing_host_header"),
                (
                    "GET http://httpbin.org/x HTTP/1.1\r\nHost: other\r\n\r\n",
                    200,
                    "\"httpbin.org\"",
                ),
                (
                    "GET / HTTP/1.1\r\nHost: httpbin.org\r\nConnection: upgrade\r\nUpgrade: strange\r\n\r\n",
                    403,
                    " 403 - upgrade_failed",
                ),
                (
                    "CONNECT httpbin.org HTTP/1.1\r\nHost: httpbin.org\r\n\r\n",
                    400,
                    "\"- - HTTP/1.1\" 400 DPE http1.invalid_url",
                ),
            ]
            .into_iter()
            .enumerate()
            {
                let answer = ask(request);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
                let log = subject.log(number + 1);
                assert!(log[number].contains(row), "{}", log[number]);
            }
            let head = sites.http.last_head();
            assert!(head.contains("host: httpbin.org\r\n"), "{head}");
        },
    );
}

#[test]
fn a_name_that_failed_to_resolve_fails_again_before_the_request_is_read() {
    inside(
        "captured::a_name_that_failed_to_resolve_fails_again_before_the_request_is_read",
        || {
            let sites = Sites::start();
            let any = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: any, namespace: default}\nspec:\n  hosts: ['*.gone.test']\n  ports: [{number: 80, name: p, protocol: HTTP}]\n  resolution: DYNAMIC_DNS\n";
            let subject = sites.sidecar(&[mesh("REGISTRY_ONLY"), any.into()]);
            for ends in [false, true, true] {
                let answer = curl(&["-d", "text", "-H", "Host: a.gone.test", "http://198.18.0.10/"]);
                assert_eq!((answer.status(), answer.body.as_str()), (503, "DNS resolution failure"));
                assert_eq!(answer.head.contains("connection: close"), ends, "{}", answer.head);
            }
            let received: Vec<bool> = subject.log(3).iter().map(|line| line.contains(" \"-\" 4 ")).collect();
            assert_eq!(received, [true, false, false]);
        },
    );
}
