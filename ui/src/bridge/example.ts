/** Fixed example data of the stand-in: a small mesh on a laptop, as the bundled playground has it. */
import type {
  DestinationRow,
  Draft,
  FileDiff,
  Finding,
  Flow,
  FlowDetails,
  Impact,
  JournalEntry,
  ObjectRef,
  Overview,
  PolicyView,
  SandboxState,
  ServiceRow,
  SourceState,
  Verdict,
  Why,
  Workload,
} from "./bindings";

const at = (kind: string, namespace: string, name: string, file: string, line: number): ObjectRef => ({
  kind,
  namespace,
  name,
  file,
  line,
});
const meshMap = at("ConfigMap", "istio-system", "istio", "mesh/istio.yaml", 1);

export const source: SourceState = {
  name: "playground",
  path: "/home/you/playground",
  files: 9,
  objects: 14,
  ignored: [{ kind: "Gateway", count: 2 }],
  epoch: 3,
  readAt: "2026-11-23T14:02:18Z",
  editable: true,
  errors: [],
};

const service = (
  name: string,
  hosts: string[],
  ports: [number, string][],
  more: Partial<ServiceRow> = {},
): ServiceRow => ({
  object: at("ServiceEntry", "default", name, `egress/${name}.yaml`, 1),
  hosts,
  addresses: [],
  ports: ports.map(([number, protocol]) => ({ number, name: protocol.toLowerCase(), protocol, targetPort: null })),
  resolution: "DNS",
  location: "MESH_EXTERNAL",
  exportTo: [],
  timeoutMs: null,
  staged: null,
  ...more,
});

export const services: ServiceRow[] = [
  service("api", ["api.example.com"], [[80, "HTTP"]], { timeoutMs: 10000 }),
  service("google", ["www.google.com"], [[443, "TLS"]], { staged: "changed" }),
  service("wikipedia", ["*.wikipedia.org"], [[443, "TLS"]], { resolution: "NONE" }),
  service(
    "cnn",
    ["edition.cnn.com"],
    [
      [80, "HTTP"],
      [443, "TLS"],
    ],
    {
      object: at("ServiceEntry", "shop", "cnn", "egress/cnn.yaml", 1),
    },
  ),
];

export const findings: Finding[] = [
  {
    code: "EGR104",
    level: "warning",
    object: services[2]?.object ?? null,
    field: "spec.resolution",
    file: "egress/wikipedia.yaml",
    line: 8,
    column: 15,
    message: "Resolution NONE trusts the address that was dialled; the name in the TLS handshake can be forged.",
    fix: "Use DYNAMIC_DNS, or list the hosts by name.",
  },
  {
    code: "EGR113",
    level: "info",
    object: services[0]?.object ?? null,
    field: "spec.ports[0]",
    file: "egress/api.yaml",
    line: 9,
    column: 5,
    message: "Port 80 sends plain text. To send TLS instead, originate it in the sidecar.",
    fix: null,
  },
];

export const modes: PolicyView["modes"] = [
  { scope: "mesh", mode: "ALLOW_ANY", written: { file: "mesh/istio.yaml", line: 14, column: 9 }, object: meshMap },
  {
    scope: "namespace shop",
    mode: "REGISTRY_ONLY",
    written: { file: "mesh/shop-sidecar.yaml", line: 8, column: 5 },
    object: at("Sidecar", "shop", "default", "mesh/shop-sidecar.yaml", 1),
  },
];

export const bypass: PolicyView["bypass"] = {
  includeRanges: "*",
  excludeRanges: "10.60.0.0/16,10.40.8.0/22",
  includePorts: "",
  excludePorts: "9092",
  written: { file: "mesh/injector.yaml", line: 31, column: 11 },
  workloads: [{ workload: "default/sleep", overrides: ["excludeOutboundIPRanges: 169.254.169.254/32"] }],
};

export const policy: PolicyView = {
  modes,
  services,
  timeouts: [
    {
      object: at("VirtualService", "default", "api", "egress/api-routes.yaml", 1),
      host: "api.example.com",
      routes: 1,
      timeoutMs: 10000,
      staged: null,
    },
    {
      object: at("VirtualService", "default", "cnn", "egress/cnn-routes.yaml", 1),
      host: "edition.cnn.com",
      routes: 2,
      timeoutMs: null,
      staged: null,
    },
  ],
  bypass,
  findings,
};

export const overview: Overview = {
  sentence: "7 destinations left playground, called by 2 workloads. 3 of them are in no policy.",
  modes,
  flows: { registered: 1862, passthrough: 341, blocked: 27, bypassed: 4 },
  destinations: { registered: 3, passthrough: 3, blocked: 2, bypassed: 1 },
  services,
  bypass,
  namespaces: [
    {
      namespace: "default",
      mode: "ALLOW_ANY",
      inherited: true,
      writtenIn: "inherits mesh",
      workloads: 1,
      counts: { registered: 1500, passthrough: 341, blocked: 0, bypassed: 4 },
    },
    {
      namespace: "shop",
      mode: "REGISTRY_ONLY",
      inherited: false,
      writtenIn: "Sidecar shop/default",
      workloads: 2,
      counts: { registered: 362, passthrough: 0, blocked: 27, bypassed: 0 },
    },
  ],
  health: [
    { name: "Folder", state: "good", detail: "9 files, 14 objects, watched" },
    { name: "Access log", state: "good", detail: "sandbox, 0 s behind, dropped 0" },
    { name: "Names", state: "warn", detail: "71 % of rows have a name" },
    { name: "Cluster", state: "off", detail: "not connected; not needed" },
  ],
  next: {
    text: "Rehearse REGISTRY_ONLY",
    why: "3 destinations would break first if the mesh were locked.",
    action: "switchMode",
    argument: "mesh",
  },
};

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
};

export const workloads: Workload[] = [
  { name: "default/sleep", labels: [["app", "sleep"]] },
  { name: "shop/cart", labels: [["app", "cart"]] },
];

const flowOf = (row: DestinationRow, id: number): Flow => {
  const http = row.protocol === "HTTP";
  const blocked = row.verdict === "blocked";
  return {
    id,
    time: new Date(Date.UTC(2026, 10, 23, 14, 2, 0, id * 137)).toISOString(),
    verdict: row.verdict,
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

export const diffs: FileDiff[] = [
  {
    file: "egress/google.yaml",
    state: "changed",
    hunks: [
      {
        header: "spec.ports",
        lines: [
          { sign: " ", old: 11, new: 11, text: "  ports:" },
          { sign: " ", old: 12, new: 12, text: "  - number: 443" },
          { sign: "-", old: 13, new: null, text: "    protocol: HTTPS" },
          { sign: "+", old: null, new: 13, text: "    protocol: TLS" },
          { sign: "+", old: null, new: 14, text: "  - number: 80" },
          { sign: "+", old: null, new: 15, text: "    name: http" },
          { sign: "+", old: null, new: 16, text: "    protocol: HTTP" },
        ],
      },
    ],
    command: "kubectl apply --server-side -f egress/google.yaml",
  },
];

export const impact: Impact = {
  seen: 2234,
  undecidable: 41,
  newlyBlocked: [
    {
      workload: "default/sleep",
      destination: "httpbin.org:80",
      flows: 204,
      before: "passthrough",
      after: "blocked",
      beforeWhy: "ALLOW_ANY lets unknown hosts pass",
      afterWhy: "no ServiceEntry names httpbin.org",
      host: "httpbin.org",
      port: 80,
    },
    {
      workload: "default/sleep",
      destination: "edition.cnn.com:443",
      flows: 96,
      before: "passthrough",
      after: "blocked",
      beforeWhy: "ALLOW_ANY lets unknown names pass",
      afterWhy: "no ServiceEntry names edition.cnn.com",
      host: "edition.cnn.com",
      port: 443,
    },
  ],
  newlyAllowed: [
    {
      workload: "shop/cart",
      destination: "www.google.com:80",
      flows: 12,
      before: "blocked",
      after: "registered",
      beforeWhy: "no listener names it",
      afterWhy: "ServiceEntry default/google",
      host: "www.google.com",
      port: 80,
    },
  ],
  changed: [],
  same: 1893,
};

export const journal: JournalEntry[] = [
  {
    id: 2,
    at: "2026-11-23T13:58:04Z",
    title: "Timeout 10 s for api.example.com",
    files: ["egress/api-routes.yaml"],
    undone: false,
    undoable: true,
    undoBlocked: null,
    diffs,
    impact: { newlyBlocked: 0, newlyAllowed: 0 },
  },
  {
    id: 1,
    at: "2026-11-22T10:03:00Z",
    title: "Mode REGISTRY_ONLY for namespace shop",
    files: ["mesh/shop-sidecar.yaml"],
    undone: false,
    undoable: false,
    undoBlocked: "mesh/shop-sidecar.yaml has changed since; undoing would lose that change.",
    diffs: [],
    impact: { newlyBlocked: 2, newlyAllowed: 0 },
  },
];

export const serviceYaml = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: google
  namespace: default
spec:
  hosts: [www.google.com] # search
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - number: 443
    name: tls
    protocol: TLS
`;

export const serviceDraft: Draft = {
  kind: "ServiceEntry",
  yaml: serviceYaml,
  service: {
    name: "google",
    namespace: "default",
    hosts: ["www.google.com"],
    addresses: [],
    ports: [{ number: 443, name: "tls", protocol: "TLS", targetPort: null }],
    resolution: "DNS",
    location: "MESH_EXTERNAL",
    exportTo: [],
  },
  timeout: null,
  formGap: null,
  sentence: "Every workload may open TLS to www.google.com on 443. The sidecar looks the name up itself.",
  resolutionWhy: "Derived: exact host, no addresses. The sidecar looks it up.",
  file: "egress/google.yaml",
  findings: [],
  fault: null,
};

export const timeoutDraft: Draft = {
  kind: "VirtualService",
  yaml: `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: api
  namespace: default
spec:
  hosts: [api.example.com]
  http:
  - timeout: 10s
    route:
    - destination:
        host: api.example.com
`,
  service: null,
  timeout: { name: "api", namespace: "default", host: "api.example.com", timeoutMs: 10000 },
  formGap: null,
  sentence: "Requests to api.example.com get 504 when they take longer than 10 s.",
  resolutionWhy: null,
  file: "egress/api-routes.yaml",
  findings: [],
  fault: null,
};
