//! What the API server refuses stands at the lines of the text that is staged.

use super::{writes::refuse_when_real, *};
use crate::dto::{Finding, Level, Review};

/// Opens with editing switched on, and reviews what `stage` stages.
fn reviewed(api: &Api, stage: impl FnOnce(&Bench)) -> (Bench, Review) {
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    stage(&bench);
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    (bench, review)
}

/// Name, field and line of what was refused, and the line's text in the diff.
fn refused(review: &Review) -> Vec<(&str, &str, &str)> {
    let of = |finding: &&Finding| finding.code == "REFUSED";
    let line = |finding: &Finding| {
        let diff = review.diffs.iter().find(|diff| diff.file == finding.file).unwrap();
        let mut lines = diff.hunks.iter().flat_map(|hunk| &hunk.lines);
        lines
            .find(|line| line.new == Some(finding.line as usize))
            .unwrap()
            .text
            .trim()
    };
    let all = review.findings.iter().filter(of);
    all.map(|finding| {
        assert_eq!(finding.level, Level::Error);
        (
            finding.object.as_ref().unwrap().name.as_str(),
            finding.field.as_str(),
            line(finding),
        )
    })
    .collect()
}

#[test]
fn each_field_that_the_server_refuses_is_a_finding_at_its_line_before_anything_is_written() {
    let Some(api) = api("each_field_that_the_server_refuses") else {
        return;
    };
    namespace(api, "refused");
    let (bench, review) = reviewed(api, |bench| {
        let unknown = entry("refused", "unknown", "a.com").replace("    protocol", "    bogus: 1\n    protocol");
        bench.put("refused", "unknown", &unknown);
        // Istio's resource definitions bound the length.
        let endpoint = |letter: &str| {
            let account = letter.repeat(254);
            format!("  - address: {letter}.com\n    serviceAccount: {account}\n")
        };
        let long = entry("refused", "long", "b.com") + "  endpoints:\n" + &endpoint("a") + &endpoint("b");
        bench.put("refused", "long", &long);
        bench.put("refused", "well", &entry("refused", "well", "c.com"));
    });
    assert!(!review.applicable);
    let because = review.blocked_because.as_deref().unwrap();
    let [a, b] = ["a", "b"].map(|letter| format!("serviceAccount: {}", letter.repeat(254)));
    assert_eq!(
        refused(&review),
        [
            ("long", "spec.endpoints[0].serviceAccount", a.as_str()),
            ("long", "spec.endpoints[1].serviceAccount", b.as_str()),
            ("unknown", "spec.ports[0].bogus", "bogus: 1"),
        ],
        "{because}: {:?}",
        review.findings
    );
    assert_eq!(bench.hosts("refused"), Vec::<String>::new());
}

#[test]
fn a_refusal_at_apply_stands_at_its_line_until_the_text_is_another_one() {
    let Some(api) = api("a_refusal_at_apply_stands_at_its_line") else {
        return;
    };
    namespace(api, "late");
    refuse_when_real(api, "late");
    let bare = entry("late", "a", "a.com").replace("  resolution: DNS\n", "");
    let (bench, review) = reviewed(api, |bench| bench.put("late", "a", &bare));
    assert!(
        review.applicable && refused(&review).is_empty(),
        "what is only tried is let through"
    );
    let fault = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap_err();
    assert_eq!(fault.code, "refused");

    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert_eq!(refused(&review), [("a", "", "apiVersion: networking.istio.io/v1")]);
    let message = &review.findings[0].message;
    assert!(message.contains("none of these"), "{message}");
    assert!(review.applicable, "it may be tried again");
    // The form previews what it holds.
    let edits = |text: &str| match bench.changes.staged().remove(0).edit {
        Edit::Put {
            object,
            namespace,
            name,
            ..
        } => {
            let yaml = text.to_string();
            vec![Edit::Put {
                object,
                namespace,
                name,
                yaml,
                base: None,
            }]
        }
        other => panic!("{other:?}"),
    };
    let preview = |text: &str| {
        let review = bench
            .changes
            .preview(&bench.view(), &bench.traffic, edits(text))
            .unwrap();
        refused(&review).len()
    };
    assert_eq!(preview(&bare), 1);
    let mended = entry("late", "a", "a.com");
    assert_eq!(preview(&mended), 0);
    bench.put("late", "a", &mended);
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(refused(&review).is_empty() && review.applicable);
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(bench.hosts("late"), ["a.com"]);
}

#[test]
fn a_namespace_that_is_not_there_is_refused_at_its_line() {
    let Some(api) = api("a_namespace_that_is_not_there") else {
        return;
    };
    let (_, review) = reviewed(api, |bench| bench.put("nowhere", "a", &entry("nowhere", "a", "a.com")));
    assert_eq!(refused(&review), [("a", "metadata.namespace", "namespace: nowhere")]);
}
