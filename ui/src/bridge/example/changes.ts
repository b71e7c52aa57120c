/** Example drafts, diffs, impact and journal. */
import type { Draft, FileDiff, Impact, JournalEntry } from "../bindings";

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
    reverted: false,
    kept: [],
    unconfirmed: false,
    undoable: true,
    undoBlocked: null,
    cutShort: null,
    notes: [],
    tries: [],
    diffs,
    impact: { newlyBlocked: 0, newlyAllowed: 0 },
  },
  {
    id: 1,
    at: "2026-11-22T10:03:00Z",
    title: "Mode REGISTRY_ONLY for namespace shop",
    files: ["mesh/shop-sidecar.yaml"],
    undone: false,
    reverted: false,
    kept: [],
    unconfirmed: false,
    undoable: false,
    undoBlocked: "mesh/shop-sidecar.yaml has changed since; undoing would lose that change.",
    cutShort: null,
    notes: [],
    tries: [],
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
  base: null,
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
  base: null,
  findings: [],
  fault: null,
};
