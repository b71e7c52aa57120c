//! gRPC: streams both ways, its timeouts and statuses. The words are Envoy 1.40's, given the same configuration.

use http::HeaderMap;

use crate::{
    http2::{TARGET, TO_IT, ask, names, routed, rule, serving, url},
    streams::{Caller, call, run, whole},
};

#[test]
fn grpc_streams_both_ways_and_ends_with_trailers() {
    let (subject, site) = serving("GRPC", &[routed(&format!("[{{timeout: 0.3s, {TO_IT}}}]"))]);
    run(async {
        let mut caller = Caller::connect(subject.explicit, TARGET).await;
        let (response, mut send) = caller.begin(call(&url("/echo")), false).await.unwrap();
        let (head, mut body) = response.await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        for message in ["one", "two", "three"] {
            send.send_data(message.into(), false).unwrap();
            let data = body.data().await.unwrap().unwrap();
            assert_eq!(data, message, "each message comes back before the next one is sent");
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        // The route's timeout runs from the end of the request.
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        let own = HeaderMap::from_iter([("x-own".parse().unwrap(), "1".parse().unwrap())]);
        send.send_trailers(own).unwrap();
        let (rest, trailers) = whole(&mut body).await.unwrap();
        assert_eq!((rest.len(), &trailers["grpc-status"]), (0, &"0".parse().unwrap()));
    });
    let asked = &site.asked()[0];
    assert_eq!(names(asked.end.as_ref().unwrap().as_ref().unwrap()), ["x-own"]);
    assert_eq!(asked.headers["te"], "trailers");
    assert_eq!(asked.headers["grpc-timeout"], "300m");
    let line = &subject.log(1)[0];
    assert!(line.contains(" HTTP/2\" 200 - via_upstream - \"-\" 11 11 "), "{line}");
}

#[test]
fn a_local_reply_to_grpc_is_a_head_with_its_status() {
    let fault = |abort: &str| format!("fault: {{abort: {{percentage: {{value: 100}}, {abort}}}}}, {TO_IT}");
    let (subject, _site) = serving(
        "GRPC",
        &[routed(&format!(
            "[{{match: [{{uri: {{prefix: /hang}}}}], timeout: 0.2s, {TO_IT}}}, \
              {{match: [{{uri: {{prefix: /teapot}}}}], directResponse: {{status: 418, body: {{string: \"100 %\\n\"}}}}}}, \
              {{match: [{{uri: {{prefix: /forbidden}}}}], {}}}, {{match: [{{uri: {{prefix: /internal}}}}], {}}}, \
              {{match: [{{uri: {{prefix: /reset}}}}], {TO_IT}}}]",
            fault("httpStatus: 403"),
            fault("grpcStatus: INTERNAL")
        ))],
    );
    let reset = "upstream connect error or disconnect/reset before headers. reset reason: remote reset";
    for (number, (path, status, message, logged)) in [
        ("/hang", "14", "upstream request timeout", "UT response_timeout"),
        ("/teapot", "2", "100 %25%0A", "- direct_response"),
        ("/forbidden", "7", "fault filter abort", "FI fault_filter_abort"),
        ("/internal", "13", "fault filter abort", "FI fault_filter_abort"),
        ("/nowhere", "12", "", "NR route_not_found"),
        (
            "/reset/2",
            "14",
            reset,
            "UR upstream_reset_before_response_started{remote_reset}",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask(&subject, call(&url(path))).unwrap();
        let text = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!(
            (answer.status, text("content-type")),
            (200, "application/grpc"),
            "{path}"
        );
        assert_eq!((text("grpc-status"), text("grpc-message")), (status, message), "{path}");
        assert_eq!((&*answer.body, answer.trailers.len()), ("", 0), "{path}");
        let line = &subject.log(number + 1)[number];
        assert!(line.contains(&format!(" HTTP/2\" 200 {logged} ")), "{line}");
    }
    // What policy blocks is a 502 to everyone else.
    let unknown = ask(&subject, call("http://nobody.example.com/")).unwrap();
    assert_eq!(
        (unknown.status, &unknown.headers["grpc-status"]),
        (200, &"14".parse().unwrap())
    );
}

#[test]
fn a_call_of_grpc_has_the_time_that_it_asks_for() {
    let (subject, site) = serving("GRPC", &[]);
    let mut asking = call(&url("/hang"));
    asking.headers_mut().insert("grpc-timeout", "150m".parse().unwrap());
    let answer = ask(&subject, asking).unwrap();
    assert_eq!(answer.headers["grpc-message"], "upstream request timeout");
    let seen = &site.asked()[0].headers;
    assert_eq!(
        (&seen["grpc-timeout"], &seen["x-envoy-expected-rq-timeout-ms"]),
        (&"150m".parse().unwrap(), &"150".parse().unwrap())
    );
}

#[test]
fn a_refused_stream_and_a_status_of_grpc_are_tried_again() {
    let (subject, site) = serving("GRPC", &[]);
    let answer = ask(&subject, call(&url("/third/7"))).unwrap();
    assert_eq!((answer.status, site.asked().len()), (200, 3));
    subject.log(1);
    let unavailable = ask(&subject, call(&url("/status/14"))).unwrap();
    assert_eq!(unavailable.headers["grpc-status"], "14");
    assert_eq!(site.asked().len(), 6);
    let row = &subject.log(2)[1];
    assert!(row.contains(" 200 URX via_upstream "), "{row}");
    let missing = ask(&subject, call(&url("/status/5"))).unwrap();
    assert_eq!(
        (&missing.headers["grpc-status"], site.asked().len()),
        (&"5".parse().unwrap(), 7)
    );
}

#[test]
fn a_status_of_grpc_in_the_head_of_an_answer_counts_for_the_one_of_http_that_it_stands_for() {
    let policy = "{outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 1h, maxEjectionPercent: 100}}";
    let (subject, site) = serving(
        "GRPC",
        &[
            rule(policy),
            routed(&format!("[{{retries: {{attempts: 0}}, {TO_IT}}}]")),
        ],
    );
    for path in ["/status/14", "/status/5", "/status/13", "/status/2"] {
        let answer = ask(&subject, call(&url(path))).unwrap();
        assert_eq!(answer.headers["grpc-status"], path.rsplit('/').next().unwrap());
    }
    let refused = ask(&subject, call(&url("/echo"))).unwrap();
    assert_eq!(refused.headers["grpc-message"], "no healthy upstream");
    assert_eq!(site.asked().len(), 4);
}
