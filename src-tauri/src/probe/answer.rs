//! Reads what `curl -i` printed: status line, headers, body, and behind the last line the time and the address.

use std::net::IpAddr;

/// Written by `-w` behind everything else.
const MARK: &str = "\n\u{1}egret-time=";

/// How the sidecar's answer to CONNECT ends, as that of most proxies does.
const ESTABLISHED: &str = " 200 Connection established";

/// What `-w` is given.
pub fn format() -> String {
    format!("{MARK}%{{time_total}} %{{remote_ip}}\n")
}

/// The last response in the output of `curl -i`.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub took_ms: Option<u64>,
    /// What was connected to; `None` where nothing was.
    pub address: Option<IpAddr>,
}

impl Answer {
    pub fn read(output: &str) -> Self {
        let (output, behind) = output.rsplit_once(MARK).unwrap_or((output, ""));
        let mut behind = behind.split_whitespace();
        let time = behind.next().and_then(|time| time.parse::<f64>().ok());
        let mut answer = Self {
            took_ms: time.map(|seconds| (seconds * 1000.0).round() as u64),
            address: behind.next().and_then(|address| address.parse().ok()),
            ..Self::default()
        };
        let mut rest = output;
        // Interim answers come before the real one, and so does a proxy's to CONNECT, which is nobody's where none follows.
        while rest.starts_with("HTTP/") {
            let Some((head, after)) = rest.split_once("\r\n\r\n") else {
                break;
            };
            rest = after;
            let mut lines = head.split("\r\n");
            if head.lines().next().is_some_and(|line| line.ends_with(ESTABLISHED)) {
                continue;
            }
            answer.status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
            answer.headers = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim().to_string(), value.trim().to_string()))
                .collect();
        }
        answer.body = rest.to_string();
        answer
    }

    /// The headers that the site saw, where its answer tells them as httpbin's `/headers` does.
    pub fn site_saw(&self) -> Vec<(String, String)> {
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let Some(headers) = json.get("headers").and_then(|headers| headers.as_object()) else {
            return Vec::new();
        };
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().unwrap_or_default())
                .collect::<Vec<_>>()
                .join(", "),
            other => other.to_string(),
        };
        headers
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_answers_counts() {
        let output = "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 504 Gateway Timeout\r\nServer: envoy\r\n\r\n\
                      upstream request timeout\n\u{1}egret-time=3.0021 198.19.0.10\n";
        let answer = Answer::read(output);
        assert_eq!((answer.status, answer.took_ms), (Some(504), Some(3002)));
        assert_eq!(answer.address, Some("198.19.0.10".parse().unwrap()));
        assert_eq!(answer.headers, [("Server".to_string(), "envoy".to_string())]);
        assert_eq!(answer.body, "upstream request timeout");
    }

    #[test]
    fn no_answer_leaves_only_the_time() {
        let answer = Answer::read("\n\u{1}egret-time=0.004 \n");
        assert_eq!(
            (answer.status, answer.took_ms, answer.address, answer.body.as_str()),
            (None, Some(4), None, "")
        );
    }

    #[test]
    fn what_the_site_saw_comes_from_its_json() {
        let output = "HTTP/1.1 200 OK\r\n\r\n{\"headers\": {\"Host\": \"a.com\", \"X\": [\"1\", \"2\"]}}";
        let saw = Answer::read(output).site_saw();
        assert_eq!(
            saw,
            [
                ("Host".to_string(), "a.com".to_string()),
                ("X".to_string(), "1, 2".to_string())
            ]
        );
    }
}
