//! A finding's fix is staged as an edit, made in the text of its object, and never anything but what the checks offer.

use super::{Bench, put};
use crate::{
    dto::{Edit, FixKey, Keep},
    session::findings_of,
};

const ROUTES: &str = "\
# ours
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec:
  hosts: [httpbin.org]
  http:
  - match:
    - uri: {prefix: /a}
    - uri: {prefix: /a}   # twice
    route: [{destination: {host: httpbin.org}}]
  - route: [{destination: {host: httpbin.org}}]   # all
  - directResponse: {status: 200}
";

fn key(code: &str, kind: &str, name: &str, field: &str) -> FixKey {
    FixKey {
        code: code.into(),
        kind: kind.into(),
        namespace: "default".into(),
        name: name.into(),
        field: field.into(),
    }
}

fn rule() -> FixKey {
    key("IST0130", "VirtualService", "v", "spec.http[2]")
}

fn condition() -> FixKey {
    key("IST0131", "VirtualService", "v", "spec.http[0].match[1]")
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("v.yaml", ROUTES);
    bench
}

#[test]
fn a_finding_says_which_change_mends_it() {
    let bench = bench();
    let found = findings_of(&bench.view());
    let offer = |code: &str| {
        let finding = found.iter().find(|finding| finding.code == code).unwrap();
        finding.offer.clone().unwrap()
    };
    let offered = offer("IST0130");
    assert_eq!(offered.change, "take spec.http[2] away");
    assert_eq!(
        offered.command,
        r#"kubectl patch virtualservice.networking.istio.io v -n default --type=json -p '[{"op":"remove","path":"/spec/http/2"}]'"#
    );
    assert_eq!(offered.blocked_because, None);
}

#[test]
fn fixes_of_one_object_are_one_edit_whatever_their_order_and_nothing_else_changes() {
    let mended = ROUTES
        .replace("    - uri: {prefix: /a}   # twice\n", "")
        .replace("  - directResponse: {status: 200}\n", "");
    for order in [[rule(), condition()], [condition(), rule()]] {
        let bench = bench();
        for fix in order {
            bench.changes.stage_fixes(&bench.view(), &[fix]).unwrap();
        }
        let staged = bench.changes.staged();
        assert_eq!(staged.len(), 1);
        assert_eq!(staged[0].title, "Fix IST0130, IST0131 in VirtualService default/v");
        let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
        assert!(review.applicable, "{:?}", review.blocked_because);
        assert_eq!(bench.text("v.yaml"), ROUTES, "nothing is written before Apply");
        bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
        assert_eq!(bench.text("v.yaml"), mended);
        let left = findings_of(&bench.view())
            .into_iter()
            .filter(|finding| finding.offer.is_some());
        assert_eq!(left.count(), 0);
    }
}

#[test]
fn a_finding_that_is_gone_is_not_mended() {
    let bench = bench();
    bench.write("v.yaml", &ROUTES.replace("  - directResponse: {status: 200}\n", ""));
    let fault = bench.changes.stage_fixes(&bench.view(), &[rule()]).unwrap_err();
    assert_eq!((fault.code.as_str(), bench.changes.staged().len()), ("gone", 0));
}

#[test]
fn a_fix_is_made_in_another_hands_text_only_where_the_checks_say_the_same_of_it() {
    let bench = bench();
    bench.changes.stage_fixes(&bench.view(), &[rule()]).unwrap();
    let keep_mine = || {
        bench
            .changes
            .resolve(&bench.view(), &bench.traffic, "v.yaml", Keep::Mine)
    };
    // With one more in front, the third rule is the one that takes everything.
    let first = "  http:\n  - match: [{uri: {prefix: /b}}]\n    route: [{destination: {host: httpbin.org}}]\n";
    bench.write("v.yaml", &ROUTES.replace("  http:\n", first));
    let fault = keep_mine().unwrap_err();
    assert_eq!(fault.code, "gone", "{fault:?}");
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert_eq!(
        (review.conflicts.len(), review.edits.len()),
        (1, 1),
        "nothing is settled"
    );

    let theirs = format!("# theirs\n{ROUTES}");
    bench.write("v.yaml", &theirs);
    assert_eq!(keep_mine().unwrap().conflicts, []);
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(
        bench.text("v.yaml"),
        theirs.replace("  - directResponse: {status: 200}\n", "")
    );
}

#[test]
fn no_fix_joins_others_that_were_found_in_another_text() {
    let bench = bench();
    bench.changes.stage_fixes(&bench.view(), &[rule()]).unwrap();
    bench.write("v.yaml", &format!("# theirs\n{ROUTES}"));
    let fault = bench.changes.stage_fixes(&bench.view(), &[condition()]).unwrap_err();
    assert_eq!(fault.code, "conflict");
    let staged = bench.changes.staged();
    assert_eq!(staged[0].title, "Fix IST0130 in VirtualService default/v");
}

#[test]
fn a_fix_is_sought_in_the_text_that_it_is_made_in_also_where_the_view_is_older() {
    let bench = bench();
    let older = bench.view();
    let first = "  http:\n  - match: [{uri: {prefix: /b}}]\n    route: [{destination: {host: httpbin.org}}]\n";
    bench.write("v.yaml", &ROUTES.replace("  http:\n", first));
    let fault = bench.changes.stage_fixes(&older, &[rule()]).unwrap_err();
    assert_eq!(fault.code, "gone");
}

#[test]
fn an_object_that_a_form_replaces_is_not_mended_and_the_other_way_round() {
    let bench = bench();
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: \
                 {hosts: [A.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n";
    bench.write("e.yaml", entry);
    let lower = key("EGR05", "ServiceEntry", "e", "spec.hosts[0]");
    bench
        .changes
        .stage_fixes(&bench.view(), std::slice::from_ref(&lower))
        .unwrap();
    let fault = bench.changes.stage(&bench.view(), put("e", entry)).unwrap_err();
    assert_eq!(fault.code, "staged");
    bench.changes.discard_all();
    bench.stage(put("e", entry));
    let fault = bench.changes.stage_fixes(&bench.view(), &[lower]).unwrap_err();
    assert_eq!((fault.code.as_str(), bench.changes.staged().len()), ("staged", 1));
    assert!(matches!(bench.changes.staged()[0].edit, Edit::Put { .. }));
}

#[test]
fn what_cannot_be_edited_in_place_says_why() {
    let bench = bench();
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: Sidecar\n  metadata: {name: s, \
                namespace: default}\n  spec: {outboundTrafficPolicy: {}}\n";
    bench.write("list.yaml", list);
    let fault = bench
        .changes
        .stage_fixes(
            &bench.view(),
            &[key("EGR01", "Sidecar", "s", "spec.outboundTrafficPolicy")],
        )
        .unwrap_err();
    assert!(fault.message.contains("inside a List"), "{fault:?}");
}
