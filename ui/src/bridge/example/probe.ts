/** Example of a request's comparison, and of bringing curl along. */
import type { Expectation, ProbeRow, ProbeWays } from "../bindings";

export const logLine =
  '[2026-11-23T14:02:12.932Z] "GET /headers HTTP/1.1" 200 - via_upstream - "-" 0 355 14 13 "-" "curl/8.16.0" "4bc8" "httpbin.org" "198.18.0.10:80" PassthroughCluster 10.1.2.3:40000 198.18.0.10:80 10.1.2.3:39998 - allow_any';

export const expectation: Expectation = {
  verdict: "passthrough",
  outcome: "reaches the site",
  reason: "ALLOW_ANY holds in the mesh: let through to its own address",
  finding: null,
};

export const probeWays: ProbeWays = {
  image: "docker.io/curlimages/curl:8.16.0",
  defaultImage: "docker.io/curlimages/curl:8.16.0",
  containerMissing: null,
  deploymentMissing: "You may not create deployments in default.",
};

export const probeIn = (namespace: string): ProbeRow => ({
  namespace,
  workload: `${namespace}/egret-probe`,
  since: "2026-11-23T14:00:00Z",
});
