//! The story of the README, on a real mesh: what Istio and Envoy do is what the product says they do.

use egret_tests::mesh::{Mesh, Sleep};

pub const HTTPBIN: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin, namespace: default}
spec:
  hosts: [httpbin.org]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
";

pub const GOOGLE: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: google, namespace: default}
spec:
  hosts: [www.google.com]
  ports: [{number: 443, name: https, protocol: HTTPS}]
  resolution: DNS
";

pub const TIMEOUT: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin, namespace: default}
spec:
  hosts: [httpbin.org]
  http: [{route: [{destination: {host: httpbin.org}}], timeout: 3s}]
";

pub const CATCH_ALL: &str = "/config_dump?resource=dynamic_listeners&name_regex=virtualOutbound";
pub const ROUTES: &str = "/config_dump?resource=dynamic_route_configs";

pub fn story(mesh: &Mesh) {
    let sleep = mesh.sleep();
    everything_passes(&sleep);

    mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
    sleep.settles(CATCH_ALL, |listener| !listener.contains("PassthroughCluster"));
    assert_eq!(sleep.curl("https://www.google.com/headers").exit, 35);
    // Nothing declares HTTP on port 80: the connection is cut as a TCP one, and nobody answers with 502. To curl that is a
    // reset, or an empty reply where Envoy closes before the request is there.
    let cut = sleep.curl("http://httpbin.org/headers");
    assert!(matches!(cut.exit, 52 | 56), "{cut:?}");
    sleep.logs("the blocked connection", |line| {
        line.contains("UH") && line.contains("BlackHoleCluster")
    });

    mesh.apply(HTTPBIN);
    sleep.settles("/listeners", |listeners| listeners.contains("0.0.0.0_80:"));
    sleep.settles(ROUTES, |routes| routes.contains("httpbin.org:80"));
    let reply = sleep.curl("http://httpbin.org/headers");
    assert_eq!((reply.exit, reply.status), (0, 200), "{reply:?}");
    let seen = reply.body.to_lowercase();
    assert!(
        seen.contains(r#""x-envoy-decorator-operation": "httpbin.org:80/*""#),
        "{seen}"
    );
    // Now that something declares HTTP on port 80, other hosts get an answer there.
    assert_eq!(sleep.curl("http://www.google.com/headers").status, 502);

    mesh.apply(GOOGLE);
    sleep.settles("/listeners", |listeners| listeners.contains("0.0.0.0_443:"));
    assert_eq!(sleep.curl("https://www.google.com/headers").status, 200);
    sleep.logs("the server name", |line| {
        line.contains("www.google.com") && line.contains("outbound|443||www.google.com")
    });

    mesh.apply(TIMEOUT);
    sleep.settles(ROUTES, |routes| routes.contains(r#""timeout": "3s""#));
    assert_eq!(sleep.curl("http://httpbin.org/delay/5").status, 504);

    mesh.text(&[
        "delete",
        "virtualservice/httpbin",
        "serviceentry/httpbin",
        "serviceentry/google",
    ]);
    mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
    sleep.settles("/listeners", |listeners| {
        !listeners.contains("0.0.0.0_80:") && !listeners.contains("0.0.0.0_443:")
    });
    sleep.settles(CATCH_ALL, |listener| listener.contains("PassthroughCluster"));
    everything_passes(&sleep);
    let left = mesh.text(&[
        "get",
        "serviceentries,virtualservices",
        "--all-namespaces",
        "--output=name",
    ]);
    assert_eq!(left, "");
}

fn everything_passes(sleep: &Sleep<'_>) {
    for url in [
        "http://httpbin.org/headers",
        "https://www.google.com/headers",
        "https://edition.cnn.com/headers",
    ] {
        let reply = sleep.curl(url);
        assert_eq!((reply.exit, reply.status), (0, 200), "{url}: {reply:?}");
    }
}
