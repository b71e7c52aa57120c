//! How fast lines of sidecars' access logs are read, by format. `cargo bench -p proxy-core --bench access_log` runs it; the
//! product needs 20,000 a second.

#![allow(clippy::unwrap_used, missing_docs)] // a measurement reports by panicking

use std::sync::Arc;

use divan::{Bencher, black_box, counter::ItemsCount};
use proxy_core::{
    model::LogFormat,
    record::{FlowWorkload, Formats, Line},
};
use serde_json::json;

/// Lines of one run.
const LINES: usize = 1_000;
const RECEIVED: &str = "2026-11-28T12:00:00.5Z";

fn main() {
    divan::main();
}

fn read(bencher: Bencher<'_, '_>, formats: &Formats, line: impl Fn(usize) -> String) {
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let workload = Arc::<FlowWorkload>::default();
    bencher.counter(ItemsCount::new(LINES)).bench_local(|| {
        for line in &lines {
            let read = formats.read(black_box(line), &workload, RECEIVED);
            assert!(matches!(black_box(read), Line::Flow(_)));
        }
    });
}

#[divan::bench]
fn istio_text(bencher: Bencher<'_, '_>) {
    read(bencher, &Formats::default(), |index| {
        format!(
            r#"[2026-11-23T13:38:18.348Z] "GET /headers?{index} HTTP/1.1" 200 - via_upstream - "-" 0 355 2 1 "-" "curl/7.88.1" "4bc8" "httpbin.org" "198.19.0.10:80" outbound|80||httpbin.org 10.88.0.13:38386 198.19.0.10:80 10.88.0.13:38384 - default"#
        )
    });
}

#[divan::bench]
fn istio_text_of_2019(bencher: Bencher<'_, '_>) {
    read(bencher, &Formats::default(), |index| {
        format!(
            r#"[2019-01-24T12:17:11.640Z] "GET /headers?{index} HTTP/1.1" 200 - 0 599 214 214 "-" "curl/7.60.0" "17fde8f7" "httpbin.org" "35.173.6.94:80" outbound|80||httpbin.org - 35.173.6.94:80 172.30.109.82:55314 -"#
        )
    });
}

#[divan::bench]
fn istio_json(bencher: Bencher<'_, '_>) {
    read(bencher, &Formats::default(), |index| {
        json!({"authority": "a.com", "bytes_received": 0, "bytes_sent": 24, "connection_termination_details": null,
            "downstream_local_address": "1.2.3.4:80", "downstream_remote_address": "10.88.0.13:1", "duration": index,
            "method": "GET", "path": "/a", "protocol": "HTTP/2", "request_id": "4bc8", "requested_server_name": null,
            "response_code": 200, "response_code_details": "via_upstream", "response_flags": "-", "route_name": null,
            "start_time": "2026-11-23T13:38:18.348Z", "upstream_cluster": "outbound|80||a.com",
            "upstream_host": "1.2.3.4:80", "upstream_local_address": "10.88.0.13:2", "upstream_service_time": "3",
            "upstream_transport_failure_reason": null, "user_agent": "curl", "x_forwarded_for": null})
        .to_string()
    });
}

#[divan::bench]
fn own_text(bencher: Bencher<'_, '_>) {
    let format = "ts=%START_TIME% cluster=%UPSTREAM_CLUSTER% route=%ROUTE_NAME% host=%REQ(:AUTHORITY)% \
                  sni=%REQUESTED_SERVER_NAME% to=%DOWNSTREAM_LOCAL_ADDRESS% code=%RESPONSE_CODE% flags=%RESPONSE_FLAGS% \
                  agent=\"%REQ(USER-AGENT)%\"";
    let formats = Formats::new([("accessLogFormat", &LogFormat::Text(format.into()))]);
    read(bencher, &formats, |index| {
        format!(
            "ts=2026-11-23T13:38:18.348Z cluster=PassthroughCluster route=allow_any host=h{index}.com sni=- to=1.2.3.4:80 \
             code=200 flags=- agent=\"curl/8\""
        )
    });
}
