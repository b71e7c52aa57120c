use std::{fs, path::Path};

use roxmltree::Document;

use super::*;

const POLICY: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                      data: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}\n";

/// A test file in `folder` whose policy has no objects; the case expects `verdict`.
fn file(folder: &Path, name: &str, case: &str, verdict: &str) -> PathBuf {
    let path = folder.join(name);
    let text = format!(
        "resources: []\ncases:\n- name: {}\n  connect: {{ip: 1.2.3.4, port: 80}}\n  expect: {{verdict: {verdict}}}\n",
        serde_json::to_string(case).unwrap()
    );
    fs::write(&path, text).unwrap();
    path
}

fn results(files: &[PathBuf]) -> Vec<FileResult> {
    files.iter().map(|file| FileResult::of(file, None)).collect()
}

#[test]
fn junit_reports_hold_every_file_and_case_whatever_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let odd = "a <b> & \"c\" \u{1b}[31m ]]> 'd' \u{fffe}";
    let files = [
        file(folder.path(), "good.yaml", "passes", "passthrough"),
        file(folder.path(), "b&d.yaml", odd, "blocked"),
        folder.path().join("absent.yaml"),
    ];
    let xml = junit::report(&results(&files));
    let document = Document::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let suites: Vec<_> = document
        .root_element()
        .children()
        .filter(|node| node.is_element())
        .collect();
    let counts = |node: &roxmltree::Node<'_, '_>| {
        ["tests", "failures", "errors"].map(|name| node.attribute(name).unwrap().parse::<usize>().unwrap())
    };
    assert_eq!(counts(&document.root_element()), [3, 1, 1]);
    assert_eq!(
        suites.iter().map(counts).collect::<Vec<_>>(),
        [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    );
    let failure = suites[1]
        .descendants()
        .find(|node| node.has_tag_name("failure"))
        .unwrap();
    let name = failure.parent().unwrap().attribute("name").unwrap();
    assert_eq!(name, "a <b> & \"c\" \u{fffd}[31m ]]> 'd' \u{fffd}");
    assert!(failure.text().unwrap().contains("+ found    \"passthrough\""), "{xml}");
    assert!(suites[2].descendants().any(|node| node.has_tag_name("error")), "{xml}");
}

#[test]
fn what_would_be_passed_over_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    let case = "cases: [{name: a, connect: {ip: 1.2.3.4, port: 80}, expect: {verdict: passthrough}}]\n";
    for (text, said) in [
        (format!("resources: []\nistioVerison: \"1.20\"\n{case}"), "istioVerison"),
        (format!("resources: {{kind: ServiceEntry}}\n{case}"), "resources"),
        (
            format!("resources: []\n{}", case.replace("{verdict: passthrough}", "{}")),
            "expect",
        ),
        (
            format!("resources: []\n{}", case.replace("{verdict: passthrough}", "blocked")),
            "expect",
        ),
    ] {
        fs::write(&path, &text).unwrap();
        let error = FileResult::of(&path, None).error.unwrap_or_default();
        assert!(error.contains(said), "{text}: {error:?}");
    }
}

#[test]
fn a_failure_shows_what_was_expected_what_was_found_and_the_steps_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let result = FileResult::of(file(folder.path(), "t.yaml", "is cut", "blocked"), None);
    let text = result.cases[0].failure();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with("t.yaml:3: is cut"), "{text}");
    let difference = [
        "  verdict",
        "    - expected \"blocked\"",
        "    + found    \"passthrough\"",
    ];
    assert_eq!(lines[1..4], difference);
    assert!(lines[4..].iter().any(|line| line.contains("ALLOW_ANY")), "{text}");
}

/// What comes of a case that expects `expect`, of a policy without objects.
fn expecting(expect: &str) -> FileResult {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.yaml");
    let text =
        format!("resources: []\ncases:\n- name: one\n  connect: {{ip: 1.2.3.4, port: 80}}\n  expect: {expect}\n");
    fs::write(&path, text).unwrap();
    FileResult::of(&path, None)
}

#[test]
fn a_field_that_no_decision_has_is_no_expectation() {
    let error = expecting("{clustr: null}").error.unwrap();
    assert!(
        error.starts_with("line 3: expect: a decision has no \"clustr\"; it has ") && error.contains("cluster"),
        "{error}"
    );
    assert_eq!(expecting("{response: null, cluster: PassthroughCluster}").failures(), 0);
}

#[test]
fn lists_of_other_lengths_differ_in_that_and_item_by_item() {
    let result = expecting("{trace: [{step: capture}, {step: chain}]}");
    let differences: Vec<_> = result.cases[0]
        .differences
        .iter()
        .map(|(field, expected, found)| format!("{field}: {expected}, {found}"))
        .collect();
    assert_eq!(
        differences,
        ["trace (items): 2, 5", "trace[1].step: \"chain\", \"listener\""]
    );
}

#[test]
fn objects_in_the_file_join_those_of_the_folder_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policy")).unwrap();
    fs::write(folder.path().join("policy/mesh.yaml"), POLICY).unwrap();
    let path = folder.path().join("t.yaml");
    let entry = "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a, namespace: default}, \
                 spec: {hosts: [a.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}}";
    let case = |host: &str, verdict: &str| {
        format!(
            "- {{name: {host}, connect: {{ip: 1.2.3.4, port: 80}}, send: {{protocol: http, host: {host}}}, \
             expect: {{verdict: {verdict}}}}}\n"
        )
    };
    let (known, unknown) = (case("a.com", "registered"), case("b.com", "blocked"));
    fs::write(
        &path,
        format!("policy: policy\nresources: [{entry}]\ncases:\n{known}{unknown}"),
    )
    .unwrap();
    let result = FileResult::of(&path, None);
    assert_eq!(
        (result.error.as_deref(), result.cases.len(), result.failures()),
        (None, 2, 0)
    );
}

#[test]
fn a_file_that_cannot_be_run_ends_with_2_and_keeps_none_of_the_others_from_running() {
    let folder = tempfile::tempdir().unwrap();
    let (good, failing) = (
        file(folder.path(), "good.yaml", "passes", "passthrough"),
        file(folder.path(), "bad.yaml", "fails", "blocked"),
    );
    let report = folder.path().join("junit.xml");
    let run = |files: Vec<PathBuf>| {
        let junit = Some(report.clone());
        let code = Test {
            files,
            json: false,
            istio_version: None,
            junit,
        }
        .run();
        let xml = fs::read_to_string(&report).unwrap();
        (
            code,
            Document::parse(&xml)
                .unwrap()
                .descendants()
                .filter(|node| node.has_tag_name("testcase"))
                .count(),
        )
    };
    assert_eq!(run(vec![good.clone()]), (ExitCode::SUCCESS, 1));
    assert_eq!(run(vec![good.clone(), failing.clone()]), (ExitCode::from(1), 2));
    assert_eq!(
        run(vec![folder.path().join("absent.yaml"), good, failing]),
        (ExitCode::from(2), 3)
    );
}

#[test]
fn a_file_says_which_release_it_is_for_and_an_option_goes_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.yaml");
    let entry = "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a, namespace: default}, \
                 spec: {hosts: [a.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}}";
    let case = "- {name: dot, connect: {ip: 1.2.3.4, port: 80}, send: {protocol: http, host: a.com.}, \
                expect: {verdict: passthrough}}";
    let write = |version: &str| {
        fs::write(
            &path,
            format!("istioVersion: \"{version}\"\nresources: [{entry}]\ncases:\n{case}\n"),
        )
        .unwrap();
    };
    write("1.26");
    assert_eq!(FileResult::of(&path, None).failures(), 0);
    assert_eq!(FileResult::of(&path, Some(IstioVersion::NEWEST)).failures(), 1);
    write("2.0");
    let error = FileResult::of(&path, None).error.unwrap();
    assert!(
        error.contains("istioVersion") && error.contains("1.20 to 1.32"),
        "{error}"
    );
}
