//! What becomes of a path on its way, by the mesh's `pathNormalization`, as Envoy does it.

use crate::{
    site,
    subject::{Subject, entry, host, map, mesh, routes, through},
};

#[test]
fn a_path_is_routed_sent_and_logged_as_the_mesh_has_it_normalised() {
    let site = site::http();
    let options = [host("httpbin.org", "198.18.0.10"), map("198.18.0.10:80", site.address)].concat();
    let to_site = "route: [{destination: {host: httpbin.org}}]";
    let policy = |normalization: &str| {
        let settings = format!(
            "{}    pathNormalization: {{normalization: {normalization}}}\n",
            mesh("REGISTRY_ONLY")
        );
        let secret = "{match: [{uri: {prefix: /secret}}], directResponse: {status: 403}}";
        [
            settings,
            entry("httpbin.org", 80, "HTTP"),
            routes("httpbin.org", &format!("[{secret}, {{{to_site}}}]")),
        ]
    };
    let asked = ["/a//../%73ecret", "//secret?x=//", "/a%2f..%5Csecret", "/open//x%2Fy"];
    let subject = Subject::start(&policy("DEFAULT"), &options);
    let mut lines = 0;
    for (normalization, sent) in [
        ("NONE", asked.map(Some)),
        (
            "BASE",
            [
                Some("/a/secret"),
                Some(asked[1]),
                Some("/a%2f..%5Csecret"),
                Some(asked[3]),
            ],
        ),
        (
            "MERGE_SLASHES",
            [Some("/a/secret"), None, Some("/a%2f..%5Csecret"), Some("/open/x%2Fy")],
        ),
        (
            "DECODE_AND_MERGE_SLASHES",
            [Some("/a/secret"), None, None, Some("/open/x/y")],
        ),
    ] {
        subject.set_policy(&policy(normalization));
        for (path, sent) in asked.into_iter().zip(sent) {
            let answer = through(&subject, &["--path-as-is", &format!("http://httpbin.org{path}")]);
            lines += 1;
            let line = subject.log(lines).pop().unwrap();
            match sent {
                Some(sent) => {
                    let head = site.last_head();
                    assert!(
                        head.starts_with(&format!("GET {sent} HTTP/1.1\r\n")),
                        "{normalization} {path}: {head}"
                    );
                    assert!(
                        line.contains(&format!("\"GET {sent} HTTP/1.1\"")),
                        "{normalization} {path}: {line}"
                    );
                }
                None => assert_eq!(answer.status(), 403, "{normalization} {path}"),
            }
        }
        let zero = through(&subject, &["http://httpbin.org/%00"]);
        lines += 1;
        let line = subject.log(lines).pop().unwrap();
        let refused = line.contains("\"GET /%00 HTTP/1.1\" 400 - path_normalization_failed");
        assert_eq!(refused, normalization != "NONE", "{line}");
        assert_eq!(zero.status() == 400, refused, "{normalization}");
        assert_eq!(
            zero.head.contains("\r\nconnection: close\r\n"),
            refused,
            "{}",
            zero.head
        );
    }
}
