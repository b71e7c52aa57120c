//! Real lines of every generation, and formats that people write themselves.

mod any;
mod filter;

use serde_json::json;

use super::*;
use crate::policy::Verdict;

const RECEIVED: &str = "2026-11-28T12:00:00.5Z";

fn read(formats: &Formats, line: &str) -> Line {
    formats.read(line, &Arc::default(), RECEIVED)
}

fn flow(formats: &Formats, line: &str) -> FlowRecord {
    match read(formats, line) {
        Line::Flow(record) => *record,
        other => panic!("{other:?}: {line}"),
    }
}

fn text(format: &str) -> Formats {
    Formats::new([("accessLogFormat", &LogFormat::Text(format.into()))])
}

fn json(format: Value) -> Formats {
    Formats::new([("accessLogFormat", &LogFormat::Json(format))])
}

/// Verdict, host or SNI, status, cluster and original destination.
type Row = (Verdict, Option<&'static str>, u16, Option<&'static str>, &'static str);

#[test]
fn lines_of_every_istio_generation_are_read_with_their_verdict() {
    use Verdict::{Blocked, Passthrough, Registered};
    let table: &[(&str, Row)] = &[
        // 1.9 and newer
        (
            r#"[2026-11-23T13:38:18.423Z] "- - -" 0 UH - - "-" 0 0 0 - "-" "-" "-" "-" "-" BlackHoleCluster - 198.19.0.12:443 10.88.0.13:33588 edition.cnn.com -"#,
            (
                Blocked,
                Some("edition.cnn.com"),
                0,
                Some("BlackHoleCluster"),
                "198.19.0.12:443",
            ),
        ),
        (
            r#"[2026-11-23T13:38:18.348Z] "GET /headers HTTP/1.1" 200 - via_upstream - "-" 0 355 2 1 "-" "curl/7.88.1" "4bc8" "httpbin.org" "198.19.0.10:80" outbound|80||httpbin.org 10.88.0.13:38386 198.19.0.10:80 10.88.0.13:38384 - default"#,
            (
                Registered,
                Some("httpbin.org"),
                200,
                Some("outbound|80||httpbin.org"),
                "198.19.0.10:80",
            ),
        ),
        (
            r#"[2026-11-23T13:38:18.348Z] "GET / HTTP/1.1" 502 - direct_response - "-" 0 0 0 - "-" "curl" "4bc8" "a.com" "-" - - 198.19.0.10:80 10.88.0.13:38384 - block_all"#,
            (Blocked, Some("a.com"), 502, None, "198.19.0.10:80"),
        ),
        (
            r#"[2026-11-23T13:38:18.348Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 1256 30 29 "-" "curl" "4bc8" "example.com" "93.184.215.14:80" PassthroughCluster 10.1.2.3:40010 93.184.215.14:80 10.1.2.3:55330 - allow_any"#,
            (
                Passthrough,
                Some("example.com"),
                200,
                Some("PassthroughCluster"),
                "93.184.215.14:80",
            ),
        ),
        (
            r#"[2024-12-03T08:41:05.118Z] "- - -" 0 UF,URX - - "delayed_connect_error:_111" 0 0 3 - "-" "-" "-" "-" "[fd00::5]:443" PassthroughCluster - [fd00::5]:443 [fd00::9]:40112 - -"#,
            (Passthrough, None, 0, Some("PassthroughCluster"), "[fd00::5]:443"),
        ),
        // 1.9 to 1.22: a cluster's statistics name
        (
            r#"[2022-05-05T13:38:18.348Z] "GET / HTTP/2" 200 - via_upstream - "-" 0 355 2 1 "-" "curl" "4bc8" "httpbin.org" "198.19.0.10:80" outbound|80||httpbin.org; 10.88.0.13:38386 198.19.0.10:80 10.88.0.13:38384 - default"#,
            (
                Registered,
                Some("httpbin.org"),
                200,
                Some("outbound|80||httpbin.org"),
                "198.19.0.10:80",
            ),
        ),
        // 1.8: one quoted reason, no details
        (
            r#"[2020-12-01T09:12:44.006Z] "GET / HTTP/1.1" 502 - "-" 0 0 0 - "-" "curl/7.64.0" "0c1f" "neverssl.com" "-" - - 34.223.124.45:80 10.44.0.9:51234 - block_all"#,
            (Blocked, Some("neverssl.com"), 502, None, "34.223.124.45:80"),
        ),
        // 1.3 to 1.7
        (
            r#"[2019-09-03T20:57:49.103Z] "GET /politics HTTP/2" 301 - "-" "-" 0 0 90 89 "10.244.2.10" "curl/7.64.0" "ec73" "edition.cnn.com" "151.101.65.67:80" outbound|80||edition.cnn.com - 10.244.1.5:80 10.244.2.10:50482 edition.cnn.com default"#,
            (
                Registered,
                Some("edition.cnn.com"),
                301,
                Some("outbound|80||edition.cnn.com"),
                "10.244.1.5:80",
            ),
        ),
        (
            r#"[2020-02-02T11:01:54.977Z] "- - -" 0 UH "-" "-" 0 0 1 - "-" "-" "-" "-" "-" BlackHoleCluster - 172.217.161.36:443 172.30.109.82:59478 www.google.com -"#,
            (
                Blocked,
                Some("www.google.com"),
                0,
                Some("BlackHoleCluster"),
                "172.217.161.36:443",
            ),
        ),
        // 1.2: no route
        (
            r#"[2019-07-04T10:20:30.400Z] "GET / HTTP/1.1" 502 - "-" "-" 0 0 0 - "-" "curl/7.60.0" "77aa" "a.com" "-" - - 93.184.216.34:80 172.30.109.82:55314 -"#,
            (Blocked, Some("a.com"), 502, None, "93.184.216.34:80"),
        ),
        // 1.1: no failure reason either
        (
            r#"[2019-04-04T10:20:30.400Z] "GET / HTTP/1.1" 200 - "-" 0 1270 40 39 "-" "curl/7.60.0" "77aa" "a.com" "93.184.216.34:80" PassthroughCluster - 93.184.216.34:80 172.30.109.82:55314 -"#,
            (
                Passthrough,
                Some("a.com"),
                200,
                Some("PassthroughCluster"),
                "93.184.216.34:80",
            ),
        ),
        // before 1.1, as the task page of 2019 shows them
        (
            r#"[2019-01-24T12:17:11.640Z] "GET /headers HTTP/1.1" 200 - 0 599 214 214 "-" "curl/7.60.0" "17fde8f7" "httpbin.org" "35.173.6.94:80" outbound|80||httpbin.org - 35.173.6.94:80 172.30.109.82:55314 -"#,
            (
                Registered,
                Some("httpbin.org"),
                200,
                Some("outbound|80||httpbin.org"),
                "35.173.6.94:80",
            ),
        ),
        (
            r#"[2019-01-24T12:48:54.977Z] "- - -" 0 - 601 17766 1289 - "-" "-" "-" "-" "172.217.161.36:443" outbound|443||www.google.com 172.30.109.82:59480 172.217.161.36:443 172.30.109.82:59478 www.google.com"#,
            (
                Registered,
                Some("www.google.com"),
                0,
                Some("outbound|443||www.google.com"),
                "172.217.161.36:443",
            ),
        ),
        // 1.0: no blank before the protocol, and a format of its own for TCP
        (
            r#"[2018-12-24T12:17:11.640Z] "GET /headersHTTP/1.1" 200 - 0 599 214 214 "-" "curl/7.60.0" "17fd" "httpbin.org" "35.173.6.94:80" outbound|80||httpbin.org - 35.173.6.94:80 172.30.109.82:55314"#,
            (
                Registered,
                Some("httpbin.org"),
                200,
                Some("outbound|80||httpbin.org"),
                "35.173.6.94:80",
            ),
        ),
        (
            r#"[2018-12-24T12:17:11.640Z] "GET /HTTP/1.1" 404 NR 0 0 0 - "-" "curl/7.60.0" "17fd" "a.com" "-" - - 93.184.216.34:80 172.30.109.82:55314"#,
            (Blocked, Some("a.com"), 404, None, "93.184.216.34:80"),
        ),
        (
            r#"[2018-12-24T12:17:11.640Z] - 601 17766 1289 "172.217.161.36:443" outbound|443||www.google.com 172.30.109.82:59480 172.217.161.36:443 172.30.109.82:59478"#,
            (
                Registered,
                None,
                0,
                Some("outbound|443||www.google.com"),
                "172.217.161.36:443",
            ),
        ),
        // JSON: of today, of 1.9 without a blocked connection's cluster, of before 1.9 with texts for numbers
        (
            r#"{"authority":"a.com","bytes_received":0,"bytes_sent":24,"connection_termination_details":null,"downstream_local_address":"1.2.3.4:80","downstream_remote_address":"10.88.0.13:1","duration":3000,"method":"GET","path":"/a b","protocol":"HTTP/2","request_id":"4bc8","requested_server_name":null,"response_code":504,"response_code_details":"response_timeout","response_flags":"UT","route_name":null,"start_time":"2026-11-23T13:38:18.348Z","upstream_cluster":"outbound|80||a.com","upstream_host":"1.2.3.4:80","upstream_local_address":"10.88.0.13:2","upstream_service_time":null,"upstream_transport_failure_reason":null,"user_agent":"curl","x_forwarded_for":null}"#,
            (Registered, Some("a.com"), 504, Some("outbound|80||a.com"), "1.2.3.4:80"),
        ),
        (
            r#"{"response_flags":"UH","start_time":"2021-03-03T13:38:18.348Z","method":null,"protocol":null,"response_code":0,"upstream_cluster":null,"upstream_host":null,"requested_server_name":"a.com","downstream_local_address":"1.2.3.4:443","downstream_remote_address":"10.88.0.13:1","route_name":null}"#,
            (Blocked, Some("a.com"), 0, None, "1.2.3.4:443"),
        ),
        (
            r#"{"upstream_cluster":"PassthroughCluster","downstream_remote_address":"10.8.2.9:42412","authority":"a.com","path":"/","protocol":"HTTP/1.1","istio_policy_status":"-","method":"GET","upstream_service_time":"5","response_code":"200","response_flags":"-","start_time":"2019-09-03T20:57:49.103Z","downstream_local_address":"93.184.216.34:80","requested_server_name":"-","route_name":"allow_any"}"#,
            (
                Passthrough,
                Some("a.com"),
                200,
                Some("PassthroughCluster"),
                "93.184.216.34:80",
            ),
        ),
    ];
    let formats = Formats::default();
    for (line, (verdict, name, status, cluster, destination)) in table {
        let record = flow(&formats, line);
        assert_eq!(
            (record.verdict, record.host.as_deref().or(record.sni.as_deref())),
            (*verdict, *name),
            "{line}"
        );
        assert_eq!(
            (record.status, record.cluster.as_deref()),
            (*status, *cluster),
            "{line}"
        );
        assert_eq!(record.destination.to_string(), *destination, "{line}");
        assert!(line.contains(&record.time) && record.line == *line, "{line}");
    }
}

#[test]
fn mixers_entries_are_read_with_the_workload_that_they_name() {
    let http = r#"{"level":"info","time":"2019-01-24T12:17:11.855496Z","instance":"accesslog.logentry.istio-system","connection_security_policy":"unknown","destinationIp":"I60GXg==","destinationServiceHost":"httpbin.org","httpAuthority":"httpbin.org","latency":"214.661667ms","method":"GET","protocol":"http","receivedBytes":270,"reporter":"source","requestId":"17fde8f7","requestSize":0,"requestedServerName":"","responseCode":200,"responseSize":599,"sentBytes":806,"sourceIp":"AAAAAAAAAAAAAP//rB5tUg==","sourceNamespace":"default","sourceWorkload":"sleep","url":"/headers","userAgent":"curl/7.60.0"}"#;
    let formats = Formats::default();
    let record = flow(&formats, http);
    assert_eq!(
        (&*record.workload.namespace, &*record.workload.name),
        ("default", "sleep")
    );
    assert_eq!(record.destination.to_string(), "35.173.6.94:0", "Mixer says no port");
    assert_eq!(record.source.ip().to_string(), "172.30.109.82");
    assert_eq!((record.status, record.duration_ms, record.bytes_sent), (200, 214, 599));
    assert_eq!(
        (record.verdict, record.path.as_deref()),
        (Verdict::Registered, Some("/headers"))
    );
    let tcp = r#"{"level":"info","time":"2019-01-24T12:48:56.266Z","instance":"tcpaccesslog.logentry.istio-system","connectionDuration":"1.289085134s","connectionEvent":"close","destinationIp":"rNmhJA==","protocol":"tcp","reporter":"source","requestedServerName":"www.google.com","sourceNamespace":"default","sourceWorkload":"sleep","totalReceivedBytes":601,"totalSentBytes":17766}"#;
    let record = flow(&formats, tcp);
    assert_eq!(
        (record.protocol.as_str(), record.sni.as_deref()),
        ("tls", Some("www.google.com"))
    );
    assert_eq!(
        (record.bytes_received, record.bytes_sent, record.duration_ms),
        (601, 17766, 1289)
    );
    for other in [
        tcp.replace("close", "open"),
        http.replace("\"source\"", "\"destination\""),
    ] {
        assert_eq!(read(&formats, &other), Line::Inbound);
    }
}

#[test]
fn what_comes_in_and_what_the_sidecar_says_of_itself_is_no_egress() {
    let formats = Formats::default();
    let inbound = r#"[2026-11-23T13:38:18.348Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 0 0 - "-" "curl" "4bc8" "a.com" "-" inbound|8080|| - 198.19.0.10:80 10.88.0.13:38384 - default"#;
    assert_eq!(read(&formats, inbound), Line::Inbound);
    for other in [
        r#"{"level":"info","msg":"ready"}"#,
        "2026-11-23T13:38:18Z\tinfo\tEnvoy proxy is ready",
        "[2019-01-24 12:17:11.640][15][warning][config] gRPC config stream closed",
        "{}",
        "",
    ] {
        assert_eq!(read(&formats, other), Line::Other, "{other}");
    }
    let unknown = read(&formats, "[2019-01-24T12:17:11.640Z] something else");
    assert!(matches!(unknown, Line::Unread(_)), "{unknown:?}");
}

#[test]
fn formats_that_people_write_are_read_by_their_operators() {
    let format = "%START_TIME(%s.%3f)%|%UPSTREAM_CLUSTER%|%ROUTE_NAME%|%REQ(:AUTHORITY):60%|%REQUESTED_SERVER_NAME%|\
                  %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_PORT%|%RESPONSE_CODE%|100%%\n";
    let record = flow(
        &text(format),
        "1700000000.250|outbound|443|v1|a.com|-|a.com|-|fd00::1|443|200|100%",
    );
    assert_eq!(record.time, "2023-11-14T22:13:20.250Z");
    assert_eq!(
        (record.cluster.as_deref(), record.route),
        (Some("outbound|443|v1|a.com"), None)
    );
    assert_eq!(
        (record.destination.to_string(), record.protocol),
        ("[fd00::1]:443".into(), "http".into())
    );
    assert_eq!(
        record.source.to_string(),
        "0.0.0.0:0",
        "the format does not say who called"
    );

    let timeless = flow(
        &text("c=%UPSTREAM_CLUSTER% h=%UPSTREAM_HOST%"),
        "c=PassthroughCluster h=1.2.3.4:443",
    );
    assert_eq!(
        (timeless.time.as_str(), timeless.verdict),
        (RECEIVED, Verdict::Passthrough)
    );
    assert_eq!(timeless.destination.to_string(), "1.2.3.4:443");

    let format = json!({
        "ts": "%START_TIME%",
        "kind": "access",
        "http": {"line": "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%", "host": "%REQ(:AUTHORITY)%"},
        "status": "%RESPONSE_CODE%",
        "to": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "agent": "%REQ(USER-AGENT)%",
    });
    let line = r#"{"ts":"2026-11-23T13:38:18.348Z","kind":"access","http":{"line":"GET /x HTTP/2","host":"a.com"},"status":200,"to":"1.2.3.4:80","cluster":"PassthroughCluster"}"#;
    let record = flow(&json(format.clone()), line);
    assert_eq!(
        (record.protocol.as_str(), record.path.as_deref()),
        ("http2", Some("/x"))
    );
    assert_eq!((record.host.as_deref(), record.status), (Some("a.com"), 200));
    assert_eq!(record.verdict, Verdict::Passthrough);
    let tokens = json(format.clone()).tokens(line);
    let said: Vec<_> = tokens.iter().map(|token| (token.name, token.value.as_str())).collect();
    assert!(
        said.contains(&("PATH", "/x")) && said.contains(&("UPSTREAM_CLUSTER", "PassthroughCluster")),
        "{said:?}"
    );
    assert_eq!(said.len(), 8, "only what the line says");
    let foreign = line.replace("\"ts\"", "\"time\"");
    assert_eq!(
        read(&json(format), &foreign),
        Line::Other,
        "a key that the format has not"
    );
}

#[test]
fn a_format_that_tells_too_little_is_named_with_what_it_lacks() {
    let unread = |formats: &Formats, line: &str| match read(formats, line) {
        Line::Unread(why) => why.to_string(),
        other => panic!("{other:?}"),
    };
    let poor = text("%START_TIME% %RESPONSE_CODE%");
    let why = unread(&poor, "2026-11-23T13:38:18.348Z 200");
    assert!(
        why.starts_with("accessLogFormat lacks the host") && why.contains("and the upstream cluster"),
        "{why}"
    );
    let hosted = text("%START_TIME% %REQ(:AUTHORITY)%");
    let why = unread(&hosted, "2026-11-23T13:38:18.348Z a.com");
    assert!(why.starts_with("accessLogFormat lacks the upstream cluster"), "{why}");
    for (wrong, said) in [
        ("[%START_TIME", "no command operator"),
        ("a\n%UPSTREAM_CLUSTER%", "several lines"),
    ] {
        let why = unread(&text(wrong), "[2026-11-23T13:38:18.348Z] x");
        assert!(why.contains("cannot be read") && why.contains(said), "{why}");
    }
    let old = r#"[2018-04-15T20:17:00.310Z] "POST /api HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21" "locations" "tcp://10.0.2.1:80""#;
    assert!(unread(&Formats::default(), old).starts_with("Envoy's default format lacks the upstream cluster"));
}

#[test]
fn a_header_cannot_make_a_line_say_another_cluster() {
    let line = |agent: &str| {
        format!(
            r#"[2026-11-23T13:38:18.348Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 1256 30 29 "-" "{agent}" "4bc8" "a.com" "1.2.3.4:80" PassthroughCluster 10.1.2.3:4 1.2.3.4:80 10.1.2.3:5 - allow_any"#
        )
    };
    for agent in [
        r#"a "quoted" agent"#,
        r#"x" "id" "b.com" "9.9.9.9:80" outbound|80||b.com 1.1.1.1:1 9.9.9.9:80 2.2.2.2:2 - default"#,
        r#"x" "id" "b.com" "9.9.9.9:80" outbound|80||b.com 1.1.1.1:1 9.9.9.9:80 2.2.2.2:2 - default "y"#,
    ] {
        let record = flow(&Formats::default(), &line(agent));
        assert_eq!(record.verdict, Verdict::Passthrough, "{agent}");
        assert_eq!(record.destination.to_string(), "1.2.3.4:80", "{agent}");
    }
}
