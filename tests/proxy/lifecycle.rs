//! Reload, drain, admin.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use crate::{
    site,
    subject::{PATIENCE, Subject, curl, entry, eventually, mesh},
};

fn options(site: &site::Site) -> Vec<String> {
    vec![
        "--host".into(),
        "httpbin.org=198.18.0.10".into(),
        "--map".into(),
        format!("198.18.0.10:80={}", site.address),
    ]
}

/// One request on an open connection to the explicit proxy, body read by its length.
fn ask(proxy: &mut TcpStream, path: &str) -> (u16, String) {
    write!(
        proxy,
        "GET http://httpbin.org{path} HTTP/1.1\r\nHost: httpbin.org\r\n\r\n"
    )
    .unwrap();
    read_answer(proxy)
}

fn read_answer(proxy: &mut TcpStream) -> (u16, String) {
    proxy.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(
            proxy.read(&mut byte).unwrap(),
            1,
            "closed after {}",
            String::from_utf8_lossy(&head)
        );
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    proxy.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
}

#[test]
fn a_reload_holds_for_the_next_request_and_drops_no_connection() {
    let site = site::http();
    let subject = Subject::start(
        &[mesh("ALLOW_ANY"), entry("declares.port", 80, "HTTP")],
        &options(&site),
    );
    let mut kept = TcpStream::connect(subject.explicit).unwrap();
    assert_eq!(ask(&mut kept, "/a").0, 200);
    // A request on its way while the policy changes ends as it began.
    let mut slow = TcpStream::connect(subject.explicit).unwrap();
    write!(
        slow,
        "GET http://httpbin.org/delay/1 HTTP/1.1\r\nHost: httpbin.org\r\n\r\n"
    )
    .unwrap();
    eventually("the slow request at the site", || {
        site.last_head().contains("/delay/1").then_some(())
    });

    subject.set_policy(&[mesh("REGISTRY_ONLY"), entry("declares.port", 80, "HTTP")]);
    assert_eq!(ask(&mut kept, "/b").0, 502, "the same connection, the new policy");
    subject.set_policy(&[mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")]);
    assert_eq!(ask(&mut kept, "/c").0, 200);
    assert_eq!(read_answer(&mut slow).0, 200);
}

#[test]
fn broken_files_keep_the_last_good_policy_and_say_where_they_are_broken() {
    let site = site::http();
    let good = [mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")];
    let subject = Subject::start(&good, &options(&site));
    let hash = subject.hash();
    let wrong_type = good.join("---\n").replace("hosts: [httpbin.org]", "hosts: {a: b}");
    for (broken, place) in [("a: [1,\n", "policy.yaml:"), (wrong_type.as_str(), "policy.yaml:13:10")] {
        subject.write_policy(broken);
        let errors = eventually("an error", || {
            let errors = subject.config()["errors"].to_string();
            errors.contains(place).then_some(errors)
        });
        subject.message(place);
        assert_eq!(subject.hash(), hash, "{errors}");
        let mut proxy = TcpStream::connect(subject.explicit).unwrap();
        assert_eq!(ask(&mut proxy, "/").0, 200);
    }
    subject.write_policy(&good.join("---\n"));
    eventually("no error", || {
        (subject.config()["errors"] == serde_json::json!([])).then_some(())
    });
    assert_eq!(subject.hash(), hash);
}

#[test]
fn a_drain_lets_requests_end_and_loses_no_line_of_the_log() {
    let site = site::http();
    let policy = [mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")];
    let mut options = options(&site);
    options.extend(["--drain-seconds".into(), "600".into()]);
    let mut subject = Subject::start(&policy, &options);
    let mut idle = TcpStream::connect(subject.explicit).unwrap();
    assert_eq!(ask(&mut idle, "/").0, 200);
    let mut slow = TcpStream::connect(subject.explicit).unwrap();
    write!(
        slow,
        "GET http://httpbin.org/delay/2 HTTP/1.1\r\nHost: httpbin.org\r\n\r\n"
    )
    .unwrap();
    eventually("the slow request at the site", || {
        site.last_head().contains("/delay/2").then_some(())
    });
    assert_eq!(subject.admin_get("/ready"), (200, "LIVE\n".into()));

    subject.terminate();
    eventually("a sidecar that is not ready", || {
        (subject.admin_get("/ready").0 == 503).then_some(())
    });
    let refused = eventually("no more accepting", || TcpStream::connect(subject.explicit).err());
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(subject.lives());
    let (status, head) = read_answer(&mut slow);
    assert_eq!(status, 200);
    assert!(head.contains("connection: close\r\n"), "{head}");
    // The idle connection holds nothing up: the deadline is ten minutes away.
    assert!(subject.ended().success());
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    let log = std::fs::read_to_string(subject.folder.path().join("access.log")).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
}

#[test]
fn a_terminal_that_is_closed_loses_no_line_of_the_log() {
    let site = site::http();
    let mut subject = Subject::start(&[mesh("ALLOW_ANY")], &options(&site));
    let mut proxy = TcpStream::connect(subject.explicit).unwrap();
    assert_eq!(ask(&mut proxy, "/last").0, 200);
    subject.signal("-HUP");
    assert!(subject.ended().success());
    assert!(subject.log(1)[0].contains("/last"));
}

#[test]
fn whoever_holds_connections_open_without_a_word_keeps_nobody_out() {
    let subject = Subject::start(
        &[mesh("ALLOW_ANY")],
        &["--health".to_string(), "127.0.0.1:0".to_string()],
    );
    let mut flows = TcpStream::connect(subject.admin).unwrap();
    write!(flows, "GET /flows HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    flows.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut begun = [0; 15];
    flows.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    for address in [subject.admin, subject.address("health")] {
        let held: Vec<TcpStream> = (0..300)
            .map(|_| {
                let mut silent = TcpStream::connect(address).unwrap();
                write!(silent, "GET /rea").unwrap();
                silent
            })
            .collect();
        assert_eq!(curl(&[&format!("http://{address}/ready")]).status(), 200);
        drop(held);
    }
    // Who is told line by line has stayed: what follows is the end of the head, and no end of the stream.
    flows.set_nonblocking(true).unwrap();
    let mut rest = [0; 1024];
    let end = loop {
        match flows.read(&mut rest) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(end, Some(std::io::ErrorKind::WouldBlock));
}

/// The status of the admin server's answer, and its connection, which stays.
fn asked(subject: &Subject, path: &str) -> (Vec<u8>, TcpStream) {
    let mut stream = TcpStream::connect(subject.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    (line[9..].to_vec(), stream)
}

#[test]
fn a_few_hold_rules_and_one_too_many_is_told_so() {
    let subject = Subject::start(&[mesh("ALLOW_ANY")], &[]);
    let mut holders: Vec<TcpStream> = (0..8)
        .map(|_| {
            let (code, stream) = asked(&subject, "/hold");
            assert_eq!(code, b"200");
            stream
        })
        .collect();
    // Who is refused leaves no room behind either.
    for _ in 0..3 {
        assert_eq!(asked(&subject, "/hold").0, b"503");
    }
    assert_eq!(asked(&subject, "/ready").0, b"200");
    holders.pop();
    eventually("room for another", || {
        (asked(&subject, "/hold").0 == b"200").then_some(())
    });
}

#[test]
fn readers_of_flows_leave_room_for_probes_and_one_too_many_is_told_so() {
    let subject = Subject::start(&[mesh("ALLOW_ANY")], &[]);
    let status = |path: &str| asked(&subject, path);
    let mut readers: Vec<TcpStream> = (0..32)
        .map(|_| {
            let (code, stream) = status("/flows");
            assert_eq!(code, b"200");
            stream
        })
        .collect();
    let refused = subject.admin_get("/flows");
    assert_eq!(
        (refused.0, refused.1.contains("32 read the flows already")),
        (503, true),
        "{}",
        refused.1
    );
    assert_eq!(status("/ready").0, b"200");
    assert_eq!(status("/hold").0, b"200", "rules are held beside them");
    readers.pop();
    eventually("room for another", || (status("/flows").0 == b"200").then_some(()));
}

#[test]
fn admin_answers_only_to_its_own_name() {
    let subject = Subject::start(&[mesh("ALLOW_ANY")], &[]);
    let url = format!("http://{}/config", subject.admin);
    assert_eq!(curl(&[&url]).status(), 200);
    assert_eq!(curl(&["-H", "Host: evil.example.com", &url]).status(), 403);
    assert_eq!(curl(&["-X", "POST", &url]).status(), 405);
}

#[test]
fn many_at_once_are_all_answered_and_all_logged() {
    let site = site::http();
    let subject = Subject::start(
        &[mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")],
        &options(&site),
    );
    let address = subject.explicit;
    let callers: Vec<_> = (0..16)
        .map(|_| {
            thread::spawn(move || {
                let mut proxy = TcpStream::connect(address).unwrap();
                (0..50).all(|index| ask(&mut proxy, &format!("/bytes/{}", index * 100)).0 == 200)
            })
        })
        .collect();
    assert!(callers.into_iter().all(|caller| caller.join().unwrap()));
    assert_eq!(subject.log(800).len(), 800);
    assert!(site.connections() <= 32, "{} upstream connections", site.connections());
}

#[test]
fn what_the_end_of_a_drain_cuts_is_in_the_log_too() {
    let (site, mongo) = (site::http(), site::speaks_first());
    let mut options = options(&site);
    options.extend(["--drain-seconds".into(), "1".into()]);
    options.extend(["--host".into(), "mongo.example.com=198.18.0.50".into()]);
    options.extend(["--map".into(), format!("198.18.0.50:27017={}", mongo.address)]);
    let mut subject = Subject::start(&[mesh("ALLOW_ANY"), entry("httpbin.org", 80, "HTTP")], &options);
    let mut tunnel = TcpStream::connect(subject.explicit).unwrap();
    tunnel
        .write_all(b"CONNECT mongo.example.com:27017 HTTP/1.1\r\n\r\n")
        .unwrap();
    let mut greeting = [0; "HTTP/1.1 200 Connection established\r\n\r\nhello from the server\n".len()];
    tunnel.read_exact(&mut greeting).unwrap();
    let mut slow = TcpStream::connect(subject.explicit).unwrap();
    write!(
        slow,
        "GET http://httpbin.org/delay/60 HTTP/1.1\r\nHost: httpbin.org\r\n\r\n"
    )
    .unwrap();
    eventually("the slow request at the site", || {
        site.last_head().contains("/delay/60").then_some(())
    });

    subject.terminate();
    assert!(subject.ended().success());
    let mut log = subject.log(2);
    log.sort_by_key(|line| line.contains("GET"));
    assert!(
        log[0].contains(" 0 22 ") && log[0].contains("PassthroughCluster"),
        "{log:?}"
    );
    assert!(
        log[1].contains("\"GET /delay/60 HTTP/1.1\" 0 DC downstream_local_disconnect"),
        "{log:?}"
    );
}
