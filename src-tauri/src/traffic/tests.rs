//! Filters, facets, pages and bounds of the store.

use std::path::Path;

use proxy_core::{
    model::World,
    policy::{Workload, compile},
    record::{FlowRecord, Formats},
};

use super::{Traffic, counts, destinations, details, why};
use crate::{
    change::tests::flow,
    cluster::SESSION,
    dto::{FacetField, LogQuery, Verdict},
};

fn record(host: &str, verdict: &str, status: u16) -> FlowRecord {
    let mut record = flow(host, "198.18.0.10:80", "http");
    record.verdict = serde_json::from_value(verdict.into()).unwrap();
    record.status = status;
    record.flags = if verdict == "blocked" { "UH".into() } else { "-".into() };
    record
}

fn store() -> Traffic {
    let traffic = Traffic::default();
    traffic.add(record("a.com", "registered", 200));
    traffic.add(record("b.com", "blocked", 502));
    traffic.add(record("a.com", "passthrough", 404));
    traffic.add(record("api.b.com", "blocked", 0));
    traffic
}

fn ids(traffic: &Traffic, text: &str) -> Vec<u64> {
    let query = LogQuery {
        text: text.into(),
        ..LogQuery::default()
    };
    traffic.page(query, None, 100).rows.iter().map(|row| row.id).collect()
}

#[test]
fn every_kind_of_term_selects_what_it_says() {
    let traffic = store();
    for (text, wanted) in [
        ("", &[1, 2, 3, 4][..]),
        ("host:b.com", &[2, 4]),
        ("-host:b.com", &[1, 3]),
        ("verdict:blocked status:502", &[2]),
        ("verdict:registered verdict:passthrough", &[1, 3]),
        ("status:4xx", &[3]),
        ("status:>=404", &[2, 3]),
        ("status:<300 -verdict:blocked", &[1]),
        ("flags:uh", &[2, 4]),
        ("port:80", &[1, 2, 3, 4]),
        ("port:8", &[]),
        ("^a\\.com$", &[1, 3]),
        ("-API", &[1, 2, 3]),
        ("(b.com", &[]),
        ("\"default/sleep\" workload:sleep", &[1, 2, 3, 4]),
        ("unknown:key", &[]),
    ] {
        assert_eq!(ids(&traffic, text), wanted, "{text:?}");
    }
}

#[test]
fn a_facet_counts_what_choosing_another_of_its_values_would_give() {
    let traffic = store();
    let query = LogQuery {
        verdicts: vec![Verdict::Blocked],
        ..LogQuery::default()
    };
    let page = traffic.page(query, None, 100);
    assert_eq!(page.matched, 2);
    let facet = |field| page.facets.iter().find(|facet| facet.field == field).unwrap();
    let count = |field, value: &str| {
        facet(field)
            .values
            .iter()
            .find(|each| each.value == value)
            .map_or(0, |each| each.count)
    };
    assert_eq!(count(FacetField::Verdict, "blocked"), 2);
    assert_eq!(
        count(FacetField::Verdict, "registered"),
        1,
        "its own choice does not narrow a facet"
    );
    assert_eq!(count(FacetField::Host, "a.com"), 0, "the other facets are narrowed");
    assert_eq!(count(FacetField::Host, "b.com"), 1);
}

#[test]
fn pages_go_back_without_gap_and_new_rows_join_at_the_end() {
    let traffic = store();
    let page = |before, limit| {
        let rows = traffic.page(LogQuery::default(), before, limit).rows;
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 3), [2, 3, 4]);
    assert_eq!(page(Some(2), 3), [1]);
    let id = traffic.add(record("c.com", "registered", 200));
    assert_eq!((id, page(None, 2)), (5, vec![4, 5]));
}

#[test]
fn the_oldest_rows_go_when_the_bound_is_reached_and_are_counted_everywhere() {
    let traffic = Traffic::bounded(3, usize::MAX);
    let query = LogQuery::default;
    for index in 0..5 {
        traffic.add(record(if index < 2 { "old.com" } else { "new.com" }, "registered", 200));
        traffic.page(query(), None, 10);
    }
    let page = traffic.page(query(), None, 10);
    assert_eq!(
        (page.kept, page.matched, page.total, page.dropped, page.first_id),
        (3, 3, 5, 2, 3)
    );
    let hosts = &page
        .facets
        .iter()
        .find(|facet| facet.field == FacetField::Host)
        .unwrap()
        .values;
    assert_eq!((hosts.len(), hosts[0].count), (1, 3));
    assert!(traffic.row(1).is_none() && traffic.row(3).is_some());
}

#[test]
fn memory_is_bounded_however_long_the_rows_are() {
    let traffic = Traffic::bounded(1000, 20_000);
    for _ in 0..100 {
        let mut long = record("a.com", "registered", 200);
        long.path = Some("x".repeat(4000));
        traffic.add(long);
    }
    let page = traffic.page(LogQuery::default(), None, 1000);
    assert!(page.kept <= 4 && page.kept + page.dropped == 100, "{} kept", page.kept);
}

#[test]
fn clearing_keeps_the_ids_going() {
    let traffic = store();
    traffic.page(LogQuery::default(), None, 1);
    traffic.clear();
    assert_eq!(traffic.add(record("a.com", "registered", 200)), 5);
    assert_eq!(traffic.page(LogQuery::default(), None, 10).matched, 1);
}

#[test]
fn destinations_group_by_name_port_and_verdict() {
    let traffic = store();
    let rows = destinations(&traffic, |_| None);
    assert_eq!(rows.len(), 4);
    let (flows, places) = counts(&traffic);
    assert_eq!((flows.blocked, flows.total()), (2, 4));
    assert_eq!(
        (places.passthrough, places.registered, places.blocked),
        (1, 0, 2),
        "the newest flow counts"
    );
}

#[test]
fn a_host_header_loses_its_port_and_its_case() {
    let traffic = Traffic::default();
    for (host, name) in [
        ("A.com:8080", "a.com"),
        ("[::1]:80", "[::1]"),
        ("a.com", "a.com"),
        ("fe80::1", "fe80::1"),
    ] {
        let id = traffic.add(record(host, "registered", 200));
        let row = traffic.row(id).unwrap();
        assert_eq!(row.name(), name);
        assert!(details(&row, 1, &Formats::default()).sentence.contains(name));
    }
}

#[test]
fn a_flow_without_addresses_is_named_by_its_cluster_and_not_decided_again() {
    let mut record = record("a.com", "registered", 0);
    (record.host, record.protocol) = (None, "tcp".into());
    record.destination = "0.0.0.0:443".parse().unwrap();
    assert!(super::facts(&record).is_none());
    let traffic = Traffic::default();
    traffic.add(record.clone());
    record.cluster = Some("outbound|443||www.google.com".into());
    traffic.add(record);
    let rows = traffic.page(LogQuery::default(), None, 9).rows;
    assert_eq!((rows[0].name.as_str(), rows[0].destination.as_str()), ("unknown", "-"));
    assert_eq!(rows[1].name, "www.google.com");
}

#[test]
fn flows_of_one_caller_share_what_is_known_of_it() {
    let traffic = store();
    let of = |id| traffic.row(id).unwrap().record.workload;
    assert!(std::sync::Arc::ptr_eq(&of(1), &of(2)));
    let mut other = record("a.com", "registered", 200);
    std::sync::Arc::make_mut(&mut other.workload).name = "another".into();
    let id = traffic.add(other);
    assert!(!std::sync::Arc::ptr_eq(&of(1), &of(id)));
    assert_eq!(of(id).name, "another");
}

#[test]
fn a_session_is_the_flows_of_its_own_sidecar_and_none_of_istios_beside_it() {
    let traffic = Traffic::default();
    let of_session = |session: &str, hash: &str| {
        let mut record = record("a.com", "passthrough", 200);
        let mut workload = (*record.workload).clone();
        workload.labels.insert(SESSION.into(), session.into());
        record.workload = workload.into();
        record.policy_hash = hash.into();
        record
    };
    traffic.add(of_session("3f9a1c07", "8c1f02a7"));
    traffic.add(of_session("3f9a1c07", ""));
    traffic.add(of_session("00000000", "8c1f02a7"));
    traffic.add(record("a.com", "passthrough", 200));
    assert_eq!(ids(&traffic, "session:3f9a1c07"), [1]);
}

#[test]
fn what_only_observing_let_through_is_told_with_what_policy_would_have_said() {
    let mut observed = record("a.com", "passthrough", 200);
    observed.would = Some(proxy_core::policy::Verdict::Blocked);
    let traffic = Traffic::default();
    traffic.add(observed);
    let row = traffic.row(1).unwrap();
    assert_eq!(row.flow().would, Some(Verdict::Blocked));
    let said = details(&row, 0, &Formats::default()).sentence;
    assert!(
        said.contains("only observes") && said.contains("would have been blocked"),
        "{said}"
    );
}

#[test]
fn what_another_policy_decided_is_told_apart_from_what_the_one_of_now_says() {
    let world = World::default();
    let snapshot = compile(&world, &Workload::default());
    let said = |hash: &str| {
        let mut decided = record("a.com", "passthrough", 200);
        decided.policy_hash = hash.into();
        let traffic = Traffic::default();
        traffic.add(decided);
        let row = traffic.row(1).unwrap();
        why(&row, &world, &snapshot, Path::new("/")).unwrap().sentence
    };
    let told_apart = |said: String| said.contains("As the policy is now: ");
    assert!(told_apart(said("another")), "{}", said("another"));
    assert!(!told_apart(said(snapshot.hash())), "{}", said(snapshot.hash()));
}
