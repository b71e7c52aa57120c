//! Whether the sidecars hold what was written, as istiod itself says it. Its page `/debug/syncz` asks for no token on
//! loopback, which is where a port-forward ends.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Cluster, connect::told, istiod::Homes};
use crate::fault::{Fault, Result};

/// istiod's port for people and probes.
const PORT: u16 = 15014;
/// Longest that it may take: a change waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer: about 1 KiB a sidecar.
const MAX_ANSWER: u64 = 64 << 20;

/// What istiod sent to one proxy and what that took, by the numbers of the messages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(default)]
pub struct ProxySync {
    proxy: String,
    proxy_type: String,
    cluster_sent: String,
    cluster_acked: String,
    listener_sent: String,
    listener_acked: String,
    route_sent: String,
    route_acked: String,
    endpoint_sent: String,
    endpoint_acked: String,
}

impl ProxySync {
    /// Everything that was sent was taken.
    pub fn is_synced(&self) -> bool {
        self.pairs().iter().all(|(sent, taken)| sent == taken)
    }

    /// Something was sent to it that was not on its way at `before`. Endpoints come and go by themselves.
    pub fn is_newer(&self, before: &Self) -> bool {
        let [clusters, listeners, routes, _] = self.pairs();
        let [old_clusters, old_listeners, old_routes, _] = before.pairs();
        clusters.0 != old_clusters.0 || listeners.0 != old_listeners.0 || routes.0 != old_routes.0
    }

    fn pairs(&self) -> [(&str, &str); 4] {
        [
            (&self.cluster_sent, &self.cluster_acked),
            (&self.listener_sent, &self.listener_acked),
            (&self.route_sent, &self.route_acked),
            (&self.endpoint_sent, &self.endpoint_acked),
        ]
    }
}

impl Cluster {
    /// Every sidecar that is connected to an istiod, by its name `POD.NAMESPACE`.
    pub fn sidecars(&self) -> Result<BTreeMap<String, ProxySync>> {
        self.call_within(PATIENCE, sidecars(self.client.clone(), self.homes.clone()))
    }
}

async fn sidecars(client: Client, homes: Homes) -> Result<BTreeMap<String, ProxySync>> {
    let mut all = BTreeMap::new();
    let mut asked = 0;
    for home in homes.all() {
        let pods: Api<Pod> = Api::namespaced(client.clone(), home);
        let istiods = pods.list(&ListParams::default().labels("app=istiod")).await;
        let istiods = istiods.map_err(|error| told(&error))?.items.into_iter();
        let running = istiods.filter(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        });
        for istiod in running {
            let name = istiod.metadata.name.unwrap_or_default();
            for proxy in syncz(&pods, &name).await? {
                if proxy.proxy_type != "router" && proxy.proxy_type != "waypoint" {
                    all.insert(proxy.proxy.clone(), proxy);
                }
            }
            asked += 1;
        }
    }
    if asked == 0 {
        let places = homes.all().join(", ");
        return Err(Fault::new("no-istiod", format!("No istiod runs in {places}."))
            .hint("Nothing is sent to sidecars without it: they keep the configuration that they have."));
    }
    Ok(all)
}

async fn syncz(pods: &Api<Pod>, name: &str) -> Result<Vec<ProxySync>> {
    let broken = |error: std::io::Error| Fault::new("istiod", format!("{name} does not answer: {error}."));
    let mut forward = pods.portforward(name, &[PORT]).await.map_err(|error| told(&error))?;
    let stream = forward.take_stream(PORT);
    let mut stream = stream.ok_or_else(|| Fault::new("istiod", format!("{name} cannot be reached.")))?;
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    let request = b"GET /debug/syncz HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.map_err(broken)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await.map_err(broken)?;
    read(&answer).ok_or_else(|| {
        Fault::new(
            "istiod",
            format!("{name} does not say which sidecars it has configured."),
        )
        .hint("Its debug pages may be switched off (ENABLE_DEBUG_ON_HTTP).")
    })
}

fn read(answer: &[u8]) -> Option<Vec<ProxySync>> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let status = answer.split(|byte| *byte == b' ').nth(1)?;
    if status != b"200" {
        return None;
    }
    let body = &answer[head + 4..];
    // Where nobody is connected Go writes null.
    serde_json::from_slice::<Option<Vec<ProxySync>>>(body)
        .ok()
        .map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_istiod_is_read_and_anything_else_is_not() {
        let body = r#"[{"proxy": "sleep-1.default", "proxy_type": "sidecar", "cluster_sent": "a", "cluster_acked": "a",
            "listener_sent": "b", "listener_acked": "x"}]"#;
        let answer = format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}");
        let proxies = read(answer.as_bytes()).unwrap();
        assert!(!proxies[0].is_synced());
        let mut newer = proxies[0].clone();
        newer.listener_acked = "b".into();
        assert!(newer.is_synced() && !newer.is_newer(&proxies[0]));
        newer.endpoint_sent = "e".into();
        assert!(!newer.is_newer(&proxies[0]));
        newer.route_sent = "c".into();
        assert!(newer.is_newer(&proxies[0]) && !newer.is_synced());
        assert_eq!(read(b"HTTP/1.0 200 OK\r\n\r\nnull\n"), Some(vec![]));
        for other in [
            &b"HTTP/1.0 403 Forbidden\r\n\r\n[]"[..],
            b"HTTP/1.0 200 OK\r\n\r\n<p>",
            b"",
        ] {
            assert_eq!(read(other), None);
        }
    }
}
