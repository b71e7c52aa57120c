/** The example traffic: destinations, the sandbox, recorded flows, their details and their traces. */
import type { DestinationRow, Flow, FlowDetails, ObjectRef, SandboxState, Verdict, Why, Workload } from "../bindings";
import { at, meshMap, services } from "./policy";

const destination = (
  name: string,
  port: number,
  protocol: string,
  verdict: Verdict,
  requests: number,
  rule: ObjectRef | null,
  evidence: string,
): DestinationRow => ({
  name,
  port,
  protocol,
  verdict,
  workloads: verdict === "blocked" ? ["shop/cart"] : ["default/sleep"],
  requests,
  bytes: requests * 5120,
  p95Ms: protocol === "HTTP" ? 214 : 0,
  lastSeen: "2026-11-23T14:02:16Z",
  rule,
  evidence,
});

export const destinations: DestinationRow[] = [
  destination("httpbin.org", 80, "HTTP", "passthrough", 204, null, "Host"),
  destination("edition.cnn.com", 443, "TLS", "passthrough", 96, null, "SNI"),
  destination("203.0.113.24", 8443, "TCP", "passthrough", 41, null, "address only"),
  destination("telemetry.vendor.example", 443, "TLS", "blocked", 21, null, "SNI"),
  destination("mongo.example.com", 27017, "TCP", "blocked", 6, null, "DNS answer"),
  destination("api.example.com", 80, "HTTP", "registered", 1500, services[0]?.object ?? null, "Host"),
  destination("www.google.com", 443, "TLS", "registered", 362, services[1]?.object ?? null, "SNI"),
  destination("10.60.1.9", 5432, "TCP", "bypassed", 4, null, "relay"),
];

export const sandbox: SandboxState = {
  state: "running",
  workload: "default/sleep",
  step: null,
  policyHash: "8c1f02a4",
  captured: "127.0.0.1:15001",
  explicitProxy: "127.0.0.1:15002",
  admin: "127.0.0.1:15000",
  pid: 4123,
  memoryKb: 8400,
  connections: 6,
  since: "2026-11-23T13:48:00Z",
  fault: null,
  way: "namespace",
  editToEffectMs: 38,
  sites: [
    { host: "httpbin.org", address: "198.18.0.10", ports: [80, 443], what: "Echoes headers; /delay/5 waits" },
    { host: "www.google.com", address: "198.18.0.20", ports: [80, 443], what: "A page, over HTTP and TLS" },
    { host: "edition.cnn.com", address: "198.18.0.30", ports: [80, 443], what: "Redirects HTTP to HTTPS" },
    { host: "api.example.com", address: "198.18.0.40", ports: [80], what: "A JSON API, registered" },
    { host: "mongo.example.com", address: "198.18.0.50", ports: [27017], what: "TCP; the server speaks first" },
  ],
  policy: "source",
  takes: "nothing",
  variables: 0,
  files: 0,
  leftOut: [],
  stagedFault: null,
  reach: null,
};

export const workloads: Workload[] = [
  {
    name: "default/sleep",
    kind: "Deployment",
    serviceAccount: "sleep",
    labels: [["app", "sleep"]],
    plane: "sidecar",
    revision: "",
  },
  {
    name: "shop/cart",
    kind: "StatefulSet",
    serviceAccount: "default",
    labels: [["app", "cart"]],
    plane: "sidecar",
    revision: "",
  },
];

const flowOf = (row: DestinationRow, id: number): Flow => {
  const http = row.protocol === "HTTP";
  const blocked = row.verdict === "blocked";
  return {
    id,
    time: new Date(Date.UTC(2026, 10, 23, 14, 2, 0, id * 137)).toISOString(),
    verdict: row.verdict,
    would: null,
    workload: row.workloads[0] ?? "default/sleep",
    source: `10.1.2.3:${50000 + id}`,
    destination: `198.18.0.${10 + (id % 5) * 10}:${row.port}`,
    host: http ? row.name : null,
    sni: row.protocol === "TLS" ? row.name : null,
    name: row.name,
    port: row.port,
    protocol: row.protocol,
    method: http ? "GET" : null,
    path: http ? (id % 2 ? "/headers" : "/delay/5") : null,
    status: http ? 200 : 0,
    flags: blocked ? "UH" : "-",
    details: "-",
    bytesSent: blocked ? 0 : 599,
    bytesReceived: blocked ? 0 : 4096 + id,
    durationMs: blocked ? 0 : 20 + id * 3,
    cluster: blocked
      ? "BlackHoleCluster"
      : row.verdict === "registered"
        ? `outbound|${row.port}||${row.name}`
        : "PassthroughCluster",
    route: null,
    upstream: null,
    requestId: null,
    policyHash: "8c1f02a4",
  };
};

export const flows: Flow[] = Array.from({ length: 400 }, (_, index) => {
  const row = destinations[(index * 5 + (index >> 2)) % destinations.length];
  if (row === undefined) throw new Error("the example has destinations");
  return flowOf(row, index + 1);
});

export const detailsOf = (flow: Flow): FlowDetails => ({
  flow,
  line: `[${flow.time}] "${flow.method ?? "-"} ${flow.path ?? "-"} -" ${flow.status} ${flow.flags} ${flow.details} - "-" ${flow.bytesSent} ${flow.bytesReceived} ${flow.durationMs} - "-" "-" "-" "${flow.host ?? "-"}" "-" ${flow.cluster} - ${flow.destination} ${flow.source} ${flow.sni ?? "-"} -`,
  tokens: [
    {
      name: "RESPONSE_CODE",
      value: String(flow.status),
      meaning: flow.status ? "answered over HTTP" : "no HTTP: the sidecar saw one stream",
    },
    {
      name: "RESPONSE_FLAGS",
      value: flow.flags,
      meaning: flow.flags === "UH" ? "no healthy upstream: BlackHoleCluster has none by design" : "nothing went wrong",
    },
    { name: "UPSTREAM_CLUSTER", value: flow.cluster ?? "-", meaning: "where the connection was sent" },
    { name: "REQUESTED_SERVER_NAME", value: flow.sni ?? "-", meaning: "asked for by the app; a claim, not a proof" },
    { name: "DOWNSTREAM_LOCAL_ADDRESS", value: flow.destination, meaning: "the original destination; a fact" },
  ],
  sentence: `${flow.workload} opened ${flow.protocol} to ${flow.name}, port ${flow.port}.`,
  similar: 23,
});

export const whyOf = (flow: Flow): Why => ({
  verdict: flow.verdict,
  sentence: `${flow.workload} reached ${flow.name}:${flow.port} through ${flow.cluster ?? "no cluster"}.`,
  steps: [
    {
      step: "Capture",
      outcome: "Redirected to the sidecar: TCP, in no excluded range or port",
      object: at("ConfigMap", "istio-system", "istio-sidecar-injector", "mesh/injector.yaml", 31),
      excerpt: [
        { line: 30, text: '    "includeIPRanges": "*",', lit: false },
        { line: 31, text: '    "excludeIPRanges": "10.60.0.0/16,10.40.8.0/22",', lit: true },
      ],
    },
    { step: "Listener", outcome: `0.0.0.0_${flow.port}`, object: services[0]?.object ?? null, excerpt: [] },
    { step: "Virtual host", outcome: "Skipped: there is no Host to compare", object: null, excerpt: [] },
    {
      step: "Cluster",
      outcome: flow.cluster ?? "none",
      object: meshMap,
      excerpt: [
        { line: 13, text: "    outboundTrafficPolicy:", lit: false },
        { line: 14, text: "      mode: ALLOW_ANY # the default, written down", lit: true },
      ],
    },
    {
      step: "Outcome",
      outcome: flow.verdict === "blocked" ? "Cut before a byte was sent" : "Forwarded",
      object: null,
      excerpt: [],
    },
  ],
  otherwise: `With REGISTRY_ONLY and no ServiceEntry for ${flow.name}, this connection is cut: flag UH, curl exit 35.`,
  decidedBy: "policy 8c1f02a4, still in force",
});
