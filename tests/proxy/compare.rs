//! `--compare`: another policy decides everything too, and changes nothing.

use std::fs;

use serde_json::Value;

use crate::{
    observe::Flows,
    site,
    subject::{Subject, entry, eventually, host, map, mesh, through},
};

fn record(flows: &mut Flows) -> Value {
    serde_json::from_str(&flows.line()).unwrap()
}

#[test]
fn each_request_says_what_would_be_different_under_the_other_policy_and_meets_the_one_in_force() {
    let site = site::http();
    let other = tempfile::tempdir().unwrap();
    let options = [
        vec!["--compare".into(), other.path().display().to_string()],
        host("httpbin.org", "198.18.0.10").to_vec(),
        host("unknown.org", "198.18.0.10").to_vec(),
        map("198.18.0.10:80", site.address).to_vec(),
    ]
    .concat();
    let own = [mesh("ALLOW_ANY"), entry("httpbin.org", 80, "HTTP")];
    let subject = Subject::start(&own, &options);
    let mut flows = Flows::of(&subject);
    let passed = |url: &str| assert_eq!(through(&subject, &[url]).status(), 200, "{url}");

    // An empty folder is no policy.
    assert_eq!(subject.config()["compared"], Value::Null);
    passed("http://unknown.org/");
    assert_eq!(record(&mut flows).get("other"), None);

    // A folder that comes as a whole, as the app puts it there.
    let prepared = tempfile::tempdir().unwrap();
    let text = [mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")].join("---\n");
    fs::write(prepared.path().join("policy.yaml"), text).unwrap();
    fs::rename(prepared.path(), other.path().join("policy")).unwrap();
    let hash = eventually("the other policy", || {
        let compared = subject.config()["compared"].clone();
        (compared["objects"] == 2).then(|| compared["hash"].clone())
    });
    assert_ne!(hash, subject.config()["hash"]);

    passed("http://httpbin.org/");
    let same = record(&mut flows);
    let fields = |record: &Value| {
        let other = &record["other"];
        ["likeness", "verdict", "status"].map(|field| other[field].clone())
    };
    assert_eq!(fields(&same), ["same".into(), "registered".into(), Value::from(200)]);
    assert_eq!(same["other"]["policy_hash"], hash);
    passed("http://unknown.org/");
    let different = record(&mut flows);
    assert_eq!(different["verdict"], "passthrough");
    assert_eq!(
        fields(&different),
        ["different".into(), "blocked".into(), Value::from(502)]
    );

    // What is taken away is compared with no more.
    fs::rename(other.path().join("policy"), prepared.path()).unwrap();
    eventually("the end of it", || {
        (subject.config()["compared"] == Value::Null).then_some(())
    });
    passed("http://unknown.org/");
    assert_eq!(record(&mut flows).get("other"), None);
}
