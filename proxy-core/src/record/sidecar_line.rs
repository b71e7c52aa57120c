//! From a line of an Istio sidecar's access log to a record.

use std::net::SocketAddr;

use serde_json::Value;

use super::{FlowRecord, FlowWorkload, read_line};
use crate::policy::Verdict;

/// Reads one line that `workload`'s sidecar wrote, in Istio's text or JSON format. `None` for lines of another format, of
/// inbound traffic, or of the sidecar itself.
pub fn read_record(line: &str, workload: &FlowWorkload) -> Option<FlowRecord> {
    let fields = Fields::read(line)?;
    let (cluster, route) = (fields.text("UPSTREAM_CLUSTER"), fields.text("ROUTE_NAME"));
    let inbound = |cluster: &String| cluster.starts_with("inbound|") || cluster.starts_with("Inbound");
    if cluster.as_ref().is_some_and(inbound) {
        return None;
    }
    let sni = fields.text("REQUESTED_SERVER_NAME");
    let version = fields.text("PROTOCOL");
    let protocol = match (version.as_deref(), &sni) {
        (Some("HTTP/2"), _) => "http2",
        (Some(_), _) => "http",
        (None, Some(_)) => "tls",
        (None, None) => "tcp",
    };
    let or_dash = |name: &str| fields.text(name).unwrap_or_else(|| "-".into());
    Some(FlowRecord {
        time: fields.text("START_TIME")?,
        workload: workload.clone(),
        source: fields.address("DOWNSTREAM_REMOTE_ADDRESS")?,
        destination: fields.address("DOWNSTREAM_LOCAL_ADDRESS")?,
        protocol: protocol.into(),
        host: fields.text("AUTHORITY"),
        sni,
        method: fields.text("METHOD"),
        path: fields.text("PATH"),
        verdict: verdict(cluster.as_deref(), route.as_deref()),
        cluster,
        route,
        upstream: fields.address("UPSTREAM_HOST"),
        status: u16::try_from(fields.number("RESPONSE_CODE").unwrap_or(0)).unwrap_or(0),
        flags: or_dash("RESPONSE_FLAGS"),
        details: or_dash("RESPONSE_CODE_DETAILS"),
        bytes_sent: fields.number("BYTES_SENT").unwrap_or(0),
        bytes_received: fields.number("BYTES_RECEIVED").unwrap_or(0),
        duration_ms: fields.number("DURATION").unwrap_or(0),
        upstream_ms: fields.number("UPSTREAM_SERVICE_TIME"),
        request_id: fields.text("REQUEST_ID"),
        policy_hash: String::new(),
        line: line.trim_end().to_string(),
    })
}

/// A line by Envoy's names of its fields; in Istio's JSON format they are the same in lower case.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(line: &str) -> Option<Self> {
        if line.starts_with('{') {
            let fields: serde_json::Map<String, Value> = serde_json::from_str(line).ok()?;
            let text = |value: Value| match value {
                Value::String(text) => text,
                Value::Null => "-".into(),
                other => other.to_string(),
            };
            let named = fields
                .into_iter()
                .map(|(name, value)| (name.to_ascii_uppercase(), text(value)));
            return Some(Self(named.collect()));
        }
        let mut fields = Vec::new();
        for token in read_line(line)? {
            if token.name == "REQUEST" {
                let mut words = token.value.splitn(3, ' ').map(str::to_string);
                for name in ["METHOD", "PATH", "PROTOCOL"] {
                    fields.push((name.to_string(), words.next()?));
                }
            } else {
                fields.push((token.name.to_string(), token.value));
            }
        }
        Some(Self(fields))
    }

    /// What a field says; nothing where it says nothing.
    fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        (value != "-" && !value.is_empty()).then(|| value.clone())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn address(&self, name: &str) -> Option<SocketAddr> {
        self.text(name)?.parse().ok()
    }
}

/// Istio names what its outbound mode does; everything else is some object's doing.
fn verdict(cluster: Option<&str>, route: Option<&str>) -> Verdict {
    match (cluster, route) {
        (Some("BlackHoleCluster"), _) | (_, Some("block_all")) => Verdict::Blocked,
        (Some("PassthroughCluster" | "AllowAnyDynamicDNSCluster"), _)
        | (_, Some("allow_any" | "allow_any_dynamic_dns")) => Verdict::Passthrough,
        _ => Verdict::Registered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_istios_sidecars_write_is_read_with_its_verdict() {
        let workload = FlowWorkload::default();
        let read = |line: &str| read_record(line, &workload);
        let blocked = read(r#"[2026-11-23T13:38:18.423Z] "- - -" 0 UH - - "-" 0 0 0 - "-" "-" "-" "-" "-" BlackHoleCluster - 198.19.0.12:443 10.88.0.13:33588 edition.cnn.com -"#).unwrap();
        assert_eq!((blocked.verdict, blocked.protocol.as_str()), (Verdict::Blocked, "tls"));
        assert_eq!(
            (blocked.sni.as_deref(), blocked.host, blocked.flags.as_str()),
            (Some("edition.cnn.com"), None, "UH")
        );
        let served = read(r#"[2026-11-23T13:38:18.348Z] "GET /headers HTTP/1.1" 200 - via_upstream - "-" 0 355 2 1 "-" "curl/7.88.1" "4bc8" "httpbin.org" "198.19.0.10:80" outbound|80||httpbin.org 10.88.0.13:38386 198.19.0.10:80 10.88.0.13:38384 - default"#).unwrap();
        assert_eq!(
            (served.verdict, served.status, served.bytes_sent),
            (Verdict::Registered, 200, 355)
        );
        assert_eq!(
            (served.host.as_deref(), served.method.as_deref()),
            (Some("httpbin.org"), Some("GET"))
        );
        let refused = r#"[2026-11-23T13:38:18.348Z] "GET / HTTP/1.1" 502 - direct_response - "-" 0 0 0 - "-" "curl" "4bc8" "a.com" "-" - - 198.19.0.10:80 10.88.0.13:38384 - block_all"#;
        assert_eq!(read(refused).unwrap().verdict, Verdict::Blocked);
        assert_eq!(
            read(&refused.replace("block_all", "allow_any")).unwrap().verdict,
            Verdict::Passthrough
        );
        assert_eq!(
            read(&refused.replace("\"-\" - -", "\"-\" inbound|8080|| -")),
            None,
            "what comes in is not egress"
        );
        let json = r#"{"start_time":"2026-11-23T13:38:18.348Z","method":"GET","path":"/a b","protocol":"HTTP/2","response_code":504,"response_flags":"UT","bytes_sent":24,"duration":3000,"upstream_service_time":null,"authority":"a.com","upstream_cluster":"outbound|80||a.com","downstream_local_address":"1.2.3.4:80","downstream_remote_address":"10.88.0.13:1","route_name":null}"#;
        let late = read(json).unwrap();
        assert_eq!(
            (late.verdict, late.status, late.flags.as_str()),
            (Verdict::Registered, 504, "UT")
        );
        assert_eq!(
            (late.protocol.as_str(), late.path.as_deref(), late.upstream_ms),
            ("http2", Some("/a b"), None)
        );
        assert_eq!(read("{\"level\":\"info\",\"msg\":\"ready\"}"), None);
        assert_eq!(read("2026-11-23T13:38:18Z info Envoy proxy is ready"), None);
    }
}
