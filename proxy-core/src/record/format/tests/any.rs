//! Any format that says what is needed reads back, whatever else it says and in which order.

use proptest::prelude::*;

use super::*;

/// An operator with values that it may have.
fn operators() -> Vec<(&'static str, BoxedStrategy<String>)> {
    let port = 1u16..;
    let address = (any::<[u8; 4]>(), port).prop_map(|([a, b, c, d], port)| format!("{a}.{b}.{c}.{d}:{port}"));
    let address = address.boxed();
    let number = (0u32..100_000).prop_map(|number| number.to_string()).boxed();
    let of = |pattern: &'static str| proptest::string::string_regex(pattern).unwrap().boxed();
    vec![
        (
            "%START_TIME%",
            of("20[0-9]{2}-0[1-9]-1[0-9]T1[0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{3}Z"),
        ),
        (
            "%UPSTREAM_CLUSTER%",
            of("PassthroughCluster|BlackHoleCluster|outbound\\|[1-9][0-9]{0,3}\\|(v1)?\\|[a-z.]{1,20}"),
        ),
        ("%REQ(:AUTHORITY)%", of("[a-z]{1,10}\\.(com|org)(:[1-9][0-9]{1,3})?")),
        ("%DOWNSTREAM_LOCAL_ADDRESS%", address.clone()),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", address.clone()),
        ("%UPSTREAM_HOST%", address),
        ("%REQ(:METHOD)%", of("GET|POST|-")),
        ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", of("/[a-z0-9/?=&]{0,30}")),
        ("%PROTOCOL%", of("HTTP/1\\.1|HTTP/2|-")),
        ("%RESPONSE_CODE%", of("200|404|504|0")),
        ("%RESPONSE_FLAGS%", of("-|UH|UF,URX|NR")),
        ("%ROUTE_NAME%", of("-|default|allow_any|block_all|[a-z.]{1,9}")),
        ("%REQUESTED_SERVER_NAME%", of("-|[a-z]{1,10}\\.(com|org)")),
        ("%BYTES_SENT%", number.clone()),
        ("%DURATION%", number),
        ("%REQ(USER-AGENT):40%", of("[A-Za-z0-9/.]{0,20}")),
    ]
}

/// Literal text between operators that no value holds.
const BETWEEN: [&str; 5] = [" ", "\" \"", " ~ ", "\t", "; k="];

proptest! {
    #[test]
    fn any_format_with_what_is_needed_reads_back(
        order in Just((0..operators().len()).collect::<Vec<_>>()).prop_shuffle(),
        kept in 3..operators().len(),
        between in proptest::collection::vec(0..BETWEEN.len(), operators().len()),
        values in operators().into_iter().map(|(_, values)| values).collect::<Vec<_>>(),
        as_json in any::<bool>(),
    ) {
        // Cluster and destination are needed; the others may be there or not, in any order.
        let needed = [1, 3];
        let chosen: Vec<usize> = order.iter().copied().enumerate()
            .filter(|(place, operator)| *place < kept || needed.contains(operator))
            .map(|(_, operator)| operator).collect();
        let names = operators();
        let line_of = |what: &dyn Fn(usize) -> String| chosen.iter().zip(&between)
            .map(|(operator, between)| format!("{}{}", BETWEEN[*between], what(*operator))).collect::<String>();
        let object = |what: &dyn Fn(usize) -> String| Value::Object(chosen.iter()
            .map(|operator| (format!("key{operator}"), Value::String(what(*operator)))).collect());
        let (formats, line) = if as_json {
            (json(object(&|operator| names[operator].0.into())), object(&|operator| values[operator].clone()).to_string())
        } else {
            let line = line_of(&|operator| values[operator].clone());
            // The end of a line is trimmed, and a value may be empty.
            (text(&format!("{}.", line_of(&|operator| names[operator].0.into()))), format!("{line}."))
        };
        let record = flow(&formats, &line);
        let said = |operator: usize| chosen.contains(&operator).then(|| values[operator].as_str()).filter(|value| *value != "-");
        prop_assert_eq!(record.time.as_str(), said(0).unwrap_or(RECEIVED));
        prop_assert_eq!(record.cluster.as_deref(), said(1));
        prop_assert_eq!(record.host.as_deref(), said(2));
        prop_assert_eq!(record.destination.to_string(), values[3].as_str());
        prop_assert_eq!(record.source.to_string(), said(4).unwrap_or("0.0.0.0:0"));
        let upstream = record.upstream.map(|address| address.to_string());
        prop_assert_eq!(upstream.as_deref(), said(5));
        prop_assert_eq!(record.method.as_deref(), said(6));
        prop_assert_eq!(record.path.as_deref(), said(7));
        prop_assert_eq!(record.route.as_deref(), said(11));
        prop_assert_eq!(record.sni.as_deref(), said(12));
        prop_assert_eq!(record.bytes_sent.to_string(), said(13).unwrap_or("0"));
        let expected = match (values[1].as_str(), said(11)) {
            ("BlackHoleCluster", _) | (_, Some("block_all")) => Verdict::Blocked,
            ("PassthroughCluster", _) | (_, Some("allow_any")) => Verdict::Passthrough,
            _ => Verdict::Registered,
        };
        prop_assert_eq!(record.verdict, expected);
    }
}
