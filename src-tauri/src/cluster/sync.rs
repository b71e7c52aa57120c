//! Whether the sidecars hold what was written, as istiod itself says it. Its page `/debug/syncz` asks for no token on
//! loopback, which is where a port-forward ends.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};
use serde::Deserialize;

use super::{Cluster, connect::told, istiod::Homes, ported};
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
    let port = ported::Port {
        pods,
        pod: name,
        port: PORT,
        code: "istiod",
        who: name.to_string(),
    };
    let answer = port.get("/debug/syncz").await?;
    let (status, body) = (answer.status, answer.text(MAX_ANSWER).await?);
    let read = (status == 200).then(|| read(&body)).flatten();
    read.ok_or_else(|| {
        port.fault("does not say which sidecars it has configured.")
            .hint("Its debug pages may be switched off (ENABLE_DEBUG_ON_HTTP).")
    })
}

fn read(body: &str) -> Option<Vec<ProxySync>> {
    // Where nobody is connected Go writes null.
    let all: Option<Vec<ProxySync>> = serde_json::from_str(body).ok()?;
    Some(all.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_istiod_is_read_and_anything_else_is_not() {
        let body = r#"[{"proxy": "sleep-1.default", "proxy_type": "sidecar", "cluster_sent": "a", "cluster_acked": "a",
            "listener_sent": "b", "listener_acked": "x"}]"#;
        let proxies = read(body).unwrap();
        assert!(!proxies[0].is_synced());
        let mut newer = proxies[0].clone();
        newer.listener_acked = "b".into();
        assert!(newer.is_synced() && !newer.is_newer(&proxies[0]));
        newer.endpoint_sent = "e".into();
        assert!(!newer.is_newer(&proxies[0]));
        newer.route_sent = "c".into();
        assert!(newer.is_newer(&proxies[0]) && !newer.is_synced());
        assert_eq!(read("null\n"), Some(vec![]));
        for other in ["<p>", ""] {
            assert_eq!(read(other), None);
        }
    }
}
