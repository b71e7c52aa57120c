//! From a line of an Istio sidecar's access log to a record.

use std::net::SocketAddr;

use super::{FlowRecord, FlowWorkload, read_line};
use crate::policy::Verdict;

/// Reads one line that `workload`'s sidecar wrote. `None` for lines of another format, of inbound traffic, or of the
/// sidecar itself.
pub fn read_record(line: &str, workload: &FlowWorkload) -> Option<FlowRecord> {
    let tokens = read_line(line)?;
    let value = |name: &str| {
        tokens
            .iter()
            .find(|token| token.name == name)
            .map(|token| token.value.as_str())
    };
    let text = |name: &str| {
        value(name)
            .filter(|value| *value != "-" && !value.is_empty())
            .map(str::to_string)
    };
    let number = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
    let address = |name: &str| value(name).and_then(|value| value.parse::<SocketAddr>().ok());
    let (cluster, route) = (text("UPSTREAM_CLUSTER"), text("ROUTE_NAME"));
    let inbound = |cluster: &String| cluster.starts_with("inbound|") || cluster.starts_with("Inbound");
    if cluster.as_ref().is_some_and(inbound) {
        return None;
    }
    let mut request = value("REQUEST")?.split(' ').map(str::to_string);
    let (method, path, version) = (request.next()?, request.next()?, request.next()?);
    let is_request = method != "-";
    let sni = text("REQUESTED_SERVER_NAME");
    let protocol = match (version.as_str(), &sni) {
        ("HTTP/2", _) => "http2",
        (version, _) if version.starts_with("HTTP/") => "http",
        (_, Some(_)) => "tls",
        (_, None) => "tcp",
    };
    Some(FlowRecord {
        time: value("START_TIME")?.to_string(),
        workload: workload.clone(),
        source: address("DOWNSTREAM_REMOTE_ADDRESS")?,
        destination: address("DOWNSTREAM_LOCAL_ADDRESS")?,
        protocol: protocol.into(),
        host: text("AUTHORITY"),
        sni,
        method: is_request.then_some(method),
        path: is_request.then_some(path),
        verdict: verdict(cluster.as_deref(), route.as_deref()),
        cluster,
        route,
        upstream: address("UPSTREAM_HOST"),
        status: number("RESPONSE_CODE")
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(0),
        flags: value("RESPONSE_FLAGS")?.to_string(),
        details: value("RESPONSE_CODE_DETAILS")?.to_string(),
        bytes_sent: number("BYTES_SENT").unwrap_or(0),
        bytes_received: number("BYTES_RECEIVED").unwrap_or(0),
        duration_ms: number("DURATION").unwrap_or(0),
        upstream_ms: number("UPSTREAM_SERVICE_TIME"),
        request_id: text("REQUEST_ID"),
        policy_hash: String::new(),
        line: line.trim_end().to_string(),
    })
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
        assert_eq!(read("2026-11-23T13:38:18Z info Envoy proxy is ready"), None);
    }
}
