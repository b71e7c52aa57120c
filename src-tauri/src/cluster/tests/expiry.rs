//! Credentials that are no longer taken, and an API server that was away.

use std::fs;

use super::*;

/// A token that ends with its Secret.
fn token(api: &Api, account: &str, secret: &str) -> String {
    api.text(&["create", "secret", "generic", secret]);
    let bound = format!("--bound-object-name={secret}");
    let token = api.text(&["create", "token", account, "--bound-object-kind=Secret", &bound]);
    token.trim().to_string()
}

/// Ends a token, and waits until the API server, which remembers tokens for a while, takes it no more.
fn end(api: &Api, secret: &str, kubeconfig: &Path) {
    api.text(&["delete", "secret", secret]);
    let copy = kubeconfig.with_extension("copy");
    fs::copy(kubeconfig, &copy).unwrap();
    let own = format!("--kubeconfig={}", copy.display());
    eventually("the token to end", || {
        let asked = api.kubectl(&["get", "namespaces", &own]);
        String::from_utf8_lossy(&asked.stderr)
            .contains("Unauthorized")
            .then_some(())
    });
}

#[test]
fn credentials_that_end_are_read_again_and_until_they_can_be_nothing_is_lost() {
    let Some(api) = api("credentials_that_end") else { return };
    namespace(api, "expiry");
    api.apply(&entry("expiry", "a", "a.com"));
    account(api, "ending", &["viewer", "editor"], &[("istio-system", "viewer")]);
    let folder = tempfile::tempdir().unwrap();
    let (cut, through) = Cut::before(&api.kubeconfig(), folder.path());
    let file = folder.path().join("config");
    let with = |user: &str| kubeconfig_of(&through, &file, user);
    let bearer = |token: &str| format!("{{token: {token}}}");
    let bench = Bench::open(with(&bearer(&token(api, "ending", "one"))));
    bench.cluster.set_editing(true);
    bench.put("expiry", "b", &entry("expiry", "b", "b.com"));

    // Rotated on disk: nobody notices. Watches that are open go on; new ones need the new token.
    let second = token(api, "ending", "two");
    end(api, "one", &file);
    with(&bearer(&second));
    assert!(bench.cluster.is_outdated());
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(review.applicable, "{:?}", review.blocked_because);
    assert!(!bench.cluster.is_outdated(), "what is in use is what the file says");
    cut.cut();
    api.apply(&entry("expiry", "a", "new.com"));
    cut.mend();
    bench.waits_for("expiry", &["new.com"]);

    // Ended, with nothing new: said, with the last state and what is staged.
    end(api, "two", &file);
    cut.cut();
    cut.mend();
    eventually("the end to be noticed", || {
        bench.cluster.lost().filter(|(_, fault, _)| fault.code == "expired")
    });
    assert_eq!(bench.hosts("expiry"), ["new.com"]);
    assert_eq!(bench.changes.staged().len(), 1);

    // A program that comes in its place runs only once it is allowed; then all goes on.
    let (third, mark) = (token(api, "ending", "three"), folder.path().join("ran"));
    let program = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [-c, 'touch {}; \
         echo \"$CREDENTIAL\"'], env: [{{name: CREDENTIAL, value: '{{\"apiVersion\": \
         \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {{\"token\": \"{third}\"}}}}'}}]}}}}",
        mark.display()
    );
    with(&program);
    let fault = eventually("the program to be asked about", || {
        bench
            .cluster
            .lost()
            .map(|(_, fault, _)| fault)
            .filter(|fault| fault.code == "asks")
    });
    assert!(!mark.exists() && !format!("{fault:?}").contains(&third));
    let own = bench.cluster.credentials.target().clone();
    own.allow_as_shown();
    eventually("the watches to be back", || {
        bench.cluster.lost().is_none().then_some(())
    });
    assert!(mark.exists());
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    bench.waits_for("expiry", &["new.com", "b.com"]);
}

const ENTRIES: &str = "/apis/networking.istio.io/v1/namespaces/away/serviceentries";

/// The newest version of everything.
fn version(api: &Api) -> String {
    let list = api.text(&["get", &format!("--raw={ENTRIES}")]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    list["metadata"]["resourceVersion"].as_str().unwrap().to_string()
}

#[test]
fn an_api_server_that_was_away_is_followed_again_from_what_is_there_then() {
    let Some(api) = api("an_api_server_that_was_away") else {
        return;
    };
    let _turn = alone();
    namespace(api, "away");
    api.apply(&entry("away", "a", "a.com"));
    api.apply(&entry("away", "b", "b.com"));
    let folder = tempfile::tempdir().unwrap();
    let (cut, kubeconfig) = Cut::before(&api.kubeconfig(), folder.path());
    let bench = Bench::open(kubeconfig);
    api.kill_server();
    eventually("the loss to be noticed", || bench.cluster.lost());
    assert_eq!(bench.hosts("away"), ["a.com", "b.com"]);
    api.start_server();
    eventually("the watches to be back", || {
        bench.cluster.lost().is_none().then_some(())
    });

    // What happens meanwhile is forgotten when the cable is mended: the version that was seen last is gone (410).
    let seen = version(api);
    cut.cut();
    api.text(&["delete", "serviceentry", "b", "-n", "away"]);
    api.apply(&entry("away", "a", "new.com"));
    api.forget_before(&version(api));
    api.kill_server();
    api.start_server();
    let watch = format!("--raw={ENTRIES}?watch=1&timeoutSeconds=2&resourceVersion={seen}");
    eventually("the old version to be gone", || {
        let answer = api.kubectl(&["get", &watch]);
        let said = [answer.stdout, answer.stderr].concat();
        String::from_utf8_lossy(&said).contains("too old").then_some(())
    });
    cut.mend();
    bench.waits_for("away", &["new.com"]);
    eventually("the watches to be back", || {
        bench.cluster.lost().is_none().then_some(())
    });
}
