//! `wget` where there is no curl: GNU's and busybox's print the same things in their own ways, and less than curl.

use std::net::{IpAddr, SocketAddr};

use super::{MAX_SECONDS, answer::Answer, request::Request, target::Scheme};

/// busybox's knows no other method, and neither opens a bare connection.
pub fn sends(request: &Request<'_>) -> bool {
    request.method == "GET" && request.target.scheme != Scheme::Tcp
}

/// The command and its options, for both kinds: headers to standard error, the body to standard output, one attempt. First
/// with a limit of time; then, for a busybox that was built without limits and crashes at one, as Debian's does, without.
pub fn attempts(url: &str) -> [Vec<&str>; 2] {
    let plain = ["wget", "-S", "-O", "-", "-t", "1"];
    [&["-T", MAX_SECONDS, url][..], &[url]].map(|rest| [&plain[..], rest].concat())
}

/// A shell's and a runtime's code for a program that crashed: 128 and the number of SIGSEGV.
pub const CRASHED: i32 = 139;

/// As a person would type it.
pub fn shown(url: &str) -> String {
    format!("wget -S -O - {url}")
}

/// What a person must know of a result that comes from it.
pub const LIMITS: &str = "There is no curl here, so wget was run: it does not tell why a connection failed by its exit \
                          code, shows no body of a refused request, follows redirects, and does not measure the time, which \
                          is that of the whole command.";

/// The first response, which is the one of the URL itself: what follows are redirects.
pub fn read(stdout: &str, stderr: &str) -> Answer {
    let mut lines = stderr.lines().map(str::trim_end);
    let status_line = lines
        .by_ref()
        .find(|line| line.contains("HTTP/1.") || line.contains("HTTP/2"));
    let status = status_line.and_then(|line| line.split_once("HTTP/")?.1.split(' ').nth(1)?.parse().ok());
    // Headers are indented; whatever else wget says is not.
    let headers = lines
        .take_while(|line| line.starts_with("  ") && !line.starts_with("  HTTP/"))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_string(), value.trim().to_string()));
    Answer {
        status,
        headers: headers.collect(),
        body: stdout.to_string(),
        took_ms: None,
        address: stderr.lines().find_map(connected),
    }
}

/// The address in `Connecting to a.com (1.2.3.4:80)` and `Connecting to a.com (a.com)|1.2.3.4|:80... connected.`
fn connected(line: &str) -> Option<IpAddr> {
    let rest = line.strip_prefix("Connecting to ")?;
    let mut words = rest
        .split(['|', '(', ')', ' '])
        .map(|word| word.trim_end_matches("..."));
    words.find_map(|word| {
        let socket = || word.parse::<SocketAddr>().ok().map(|socket| socket.ip());
        word.trim_matches(['[', ']']).parse().ok().or_else(socket)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(answer: &Answer, name: &str) -> Option<String> {
        let own = |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        answer.headers.iter().find(own).map(|(_, value)| value.clone())
    }

    #[test]
    fn an_answer_is_read_from_either_wget() {
        let busybox = "Connecting to a.com (198.19.0.10:80)\n  HTTP/1.1 200 OK\n  content-length: 2\n  server: envoy\n  \n\
                       writing to stdout\n-  100% |****| 2  0:00:00 ETA\n";
        let gnu = "--2026-11-28 11:00:00--  http://a.com/\nResolving a.com (a.com)... 198.19.0.10\nConnecting to a.com \
                   (a.com)|198.19.0.10|:80... connected.\nHTTP request sent, awaiting response... \n  HTTP/1.1 200 OK\n  \
                   Content-Length: 2\n  Server: envoy\nLength: 2\nSaving to: 'STDOUT'\n";
        for said in [busybox, gnu] {
            let answer = read("ok", said);
            assert_eq!((answer.status, answer.body.as_str()), (Some(200), "ok"), "{said}");
            assert_eq!(answer.address, Some("198.19.0.10".parse().unwrap()), "{said}");
            assert_eq!(header(&answer, "server").as_deref(), Some("envoy"), "{said}");
            assert_eq!(answer.took_ms, None);
        }
    }

    #[test]
    fn a_refusal_has_its_status_and_a_cut_connection_none() {
        for (said, status) in [
            (
                "Connecting to a.com (198.19.0.10:80)\nwget: server returned error: HTTP/1.1 502 Bad Gateway\n",
                Some(502),
            ),
            (
                "Connecting to 198.19.0.10:80... connected.\n  HTTP/1.1 504 Gateway Timeout\n",
                Some(504),
            ),
            (
                "Connecting to a.com (198.19.0.10:80)\nwget: error getting response: Connection reset by peer\n",
                None,
            ),
        ] {
            let answer = read("", said);
            assert_eq!(answer.status, status, "{said}");
            assert!(answer.address.is_some(), "{said}");
        }
        assert_eq!(read("", "wget: bad address 'a.com'\n").address, None);
    }

    #[test]
    fn of_redirects_the_first_answer_counts() {
        let elsewhere = "Connecting to a.com (198.19.0.10:80)\n  HTTP/1.1 301 Moved\n  location: http://b.com/\n  \nConnecting \
                         to b.com (198.19.0.11:80)\n  HTTP/1.1 200 OK\n  server: other\n";
        // busybox prints nothing between two answers of one host.
        let same = "Connecting to a.com (198.19.0.10:80)\n  HTTP/1.1 301 Moved\n  location: http://b.com/\n  HTTP/1.1 200 \
                    OK\n  server: other\n  \n";
        for said in [elsewhere, same] {
            let answer = read("", said);
            assert_eq!(answer.status, Some(301));
            assert_eq!(header(&answer, "location").as_deref(), Some("http://b.com/"));
            assert_eq!(header(&answer, "server"), None, "the second answer's");
            assert_eq!(answer.address, Some("198.19.0.10".parse().unwrap()));
        }
    }
}
