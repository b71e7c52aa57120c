//! What another policy would have made of a request: what is certain is said, what is not known is not guessed.

use super::*;

const ALLOWED: &str = "kind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                       data: {mesh: 'outboundTrafficPolicy: {mode: ALLOW_ANY}'}\n";
const ENTRY: &str = "kind: ServiceEntry\nmetadata: {name: a, namespace: default}\n\
                     spec: {hosts: [a.com], resolution: DNS, ports: [{number: 80, name: p, protocol: HTTP}, \
                     {number: 443, name: t, protocol: TLS}]}\n";

fn policy(documents: &[&str]) -> World {
    let versioned = documents.iter().map(|document| {
        let version = if document.starts_with("kind: ConfigMap") {
            "v1"
        } else {
            "networking.istio.io/v1"
        };
        format!("apiVersion: {version}\n{document}")
    });
    read(&versioned.collect::<Vec<_>>().join("---\n"))
}

fn only_registered() -> String {
    ALLOWED.replace("ALLOW_ANY", "REGISTRY_ONLY")
}

/// A VirtualService for a.com with these routes.
fn routes(http: &str) -> String {
    format!(
        "kind: VirtualService\nmetadata: {{name: a, namespace: default}}\nspec: {{hosts: [a.com], http: [{http}]}}\n"
    )
}

fn route(more: &str) -> String {
    routes(&format!("{{route: [{{destination: {{host: a.com}}}}]{more}}}"))
}

fn get(headers: &Vec<(String, String)>) -> Claims<'_> {
    Claims::Http(HttpClaims {
        version: HttpVersion::Http11,
        method: "GET",
        authority: Some("a.com"),
        path: "/x",
        headers,
    })
}

/// Answered 200 after 200 ms.
const ANSWERED: Happened<'_> = Happened {
    status: 200,
    flags: "",
    duration_ms: 210,
    upstream_ms: Some(200),
    grpc: false,
};

fn compared(before: &World, after: &World, claims: Claims<'_>, first_bytes: FirstBytes) -> Compared {
    let (in_force, facts) = call(before, "1.2.3.4:80", claims);
    let (other, _) = call(after, "1.2.3.4:80", claims);
    Compared::of(&in_force, &other, &facts, first_bytes)
}

fn outcome(before: &[&str], after: &[&str], happened: &Happened<'_>) -> Other {
    let headers = Vec::new();
    compared(&policy(before), &policy(after), get(&headers), FirstBytes::Read).conclude(happened)
}

fn shown(other: &Other) -> (Likeness, Option<Verdict>, Option<u16>) {
    (other.likeness, other.verdict, other.status)
}

#[test]
fn the_same_policy_makes_the_same_of_it() {
    let other = outcome(&[ALLOWED, ENTRY], &[ALLOWED, ENTRY], &ANSWERED);
    assert_eq!(shown(&other), (Likeness::Same, Some(Verdict::Registered), Some(200)));
    assert_eq!((other.note, other.flags.as_deref()), (None, Some("-")));
}

#[test]
fn what_the_other_policy_answers_itself_is_known() {
    // Another service has the port: requests are read, and answered.
    let another = ENTRY.replace("a.com", "b.com");
    let other = outcome(&[ALLOWED, &another], &[&only_registered(), &another], &ANSWERED);
    assert_eq!(shown(&other), (Likeness::Different, Some(Verdict::Blocked), Some(502)));
    // Nobody has it: the connection is cut.
    let other = outcome(&[ALLOWED], &[&only_registered()], &ANSWERED);
    assert_eq!(shown(&other), (Likeness::Different, Some(Verdict::Blocked), Some(0)));
    assert_eq!(other.flags.as_deref(), Some("UH"));
    assert!(other.reason.contains("REGISTRY_ONLY"), "{}", other.reason);
    assert!(other.reason_in_force.contains("ALLOW_ANY"), "{}", other.reason_in_force);
}

#[test]
fn what_was_never_sent_has_no_answer() {
    let refused = Happened {
        status: 502,
        upstream_ms: None,
        ..ANSWERED
    };
    let other = outcome(&[&only_registered()], &[ALLOWED], &refused);
    assert_eq!(shown(&other), (Likeness::Different, Some(Verdict::Passthrough), None));
    assert!(other.note.is_some_and(|note| note.contains("not known")));
    // From its own address to the addresses of its name.
    let other = outcome(&[ALLOWED], &[ALLOWED, ENTRY], &ANSWERED);
    assert_eq!(shown(&other), (Likeness::Different, Some(Verdict::Registered), None));
}

#[test]
fn a_timeout_is_measured_by_the_answer_that_came() {
    let entry = [ALLOWED, ENTRY];
    let limited = |limit: &str, happened: &Happened<'_>| {
        outcome(
            &entry,
            &[ALLOWED, ENTRY, &route(&format!(", timeout: {limit}"))],
            happened,
        )
    };
    assert_eq!(limited("3s", &ANSWERED).likeness, Likeness::Same);
    let cut = limited("0.1s", &ANSWERED);
    assert_eq!((cut.status, cut.flags.as_deref()), (Some(504), Some("UT")));
    // The head was there in time.
    let cut = limited("0.205s", &ANSWERED);
    assert_eq!(
        (cut.likeness, cut.status, cut.flags.as_deref()),
        (Likeness::Different, Some(200), Some("UT"))
    );
    let timed_out = Happened {
        status: 504,
        flags: "UT",
        upstream_ms: None,
        ..ANSWERED
    };
    let longer = outcome(&[ALLOWED, ENTRY, &route(", timeout: 0.2s")], &entry, &timed_out);
    assert_eq!((longer.likeness, longer.status), (Likeness::Unknown, None));
    let shorter = [ALLOWED, ENTRY, &route(", timeout: 0.1s")];
    assert_eq!(
        outcome(&[ALLOWED, ENTRY, &route(", timeout: 0.2s")], &shorter, &timed_out).likeness,
        Likeness::Same
    );
}

#[test]
fn a_fault_for_all_is_certain_and_one_by_chance_is_not() {
    let fault = |percent: u32| {
        route(&format!(
            ", fault: {{abort: {{httpStatus: 418, percentage: {{value: {percent}}}}}}}"
        ))
    };
    let to = |percent: u32| outcome(&[ALLOWED, ENTRY], &[ALLOWED, ENTRY, &fault(percent)], &ANSWERED);
    assert_eq!((to(100).likeness, to(100).status), (Likeness::Different, Some(418)));
    assert_eq!((to(50).likeness, to(50).status), (Likeness::Unknown, None));
}

#[test]
fn what_is_sent_otherwise_is_answered_nobody_knows_how() {
    let rewritten = [ALLOWED, ENTRY, &route(", rewrite: {uri: /y}")];
    let other = outcome(&[ALLOWED, ENTRY], &rewritten, &ANSWERED);
    assert_eq!((other.likeness, other.status), (Likeness::Different, None));
    let answered = [ALLOWED, ENTRY, &route(", headers: {response: {set: {x: y}}}")];
    let other = outcome(&[ALLOWED, ENTRY], &answered, &ANSWERED);
    assert_eq!((other.likeness, other.status), (Likeness::Different, Some(200)));
}

#[test]
fn headers_count_as_they_do_in_force() {
    let http = "{match: [{headers: {x-user: {exact: jo}}}], directResponse: {status: 403}}, \
                {route: [{destination: {host: a.com}}]}";
    let (before, after) = (policy(&[ALLOWED, ENTRY]), policy(&[ALLOWED, ENTRY, &routes(http)]));
    let of = |user: &str| {
        let headers = vec![("x-user".to_string(), user.to_string())];
        compared(&before, &after, get(&headers), FirstBytes::Read).conclude(&ANSWERED)
    };
    assert_eq!((of("jo").likeness, of("jo").status), (Likeness::Different, Some(403)));
    assert_eq!((of("al").likeness, of("al").status), (Likeness::Same, Some(200)));
}

#[test]
fn what_nobody_read_decides_nothing() {
    let stream = Happened {
        status: 0,
        upstream_ms: None,
        ..ANSWERED
    };
    let excluded = "kind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\n\
                    data: {values: '{\"global\": {\"proxy\": {\"excludeOutboundPorts\": \"80\"}}}'}\n";
    let bypass = policy(&[ALLOWED, excluded]);
    let named = policy(&[ALLOWED, ENTRY]);
    let other = compared(&bypass, &named, Claims::Tcp, FirstBytes::Unread).conclude(&stream);
    assert_eq!(shown(&other), (Likeness::Unknown, None, None));
    // Where the other policy asks nothing of them either, its decision is certain.
    let silent = policy(&[ALLOWED]);
    let other = compared(&bypass, &silent, Claims::Tcp, FirstBytes::Unread).conclude(&stream);
    assert_eq!((other.verdict, other.status), (Some(Verdict::Passthrough), Some(0)));
    assert_eq!(other.likeness, Likeness::Different);
    let same = compared(&bypass, &bypass, Claims::Tcp, FirstBytes::Unread).conclude(&stream);
    assert_eq!((same.likeness, same.verdict), (Likeness::Same, Some(Verdict::Bypassed)));
}
