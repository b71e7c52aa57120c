/** The example source and its policy, as the Overview and Policy screens ask for them. */
import type { Finding, InjectorRow, ObjectRef, Overview, PolicyView, ServiceRow, SourceState } from "../bindings";

export const at = (kind: string, namespace: string, name: string, file: string, line: number): ObjectRef => ({
  kind,
  namespace,
  name,
  file,
  line,
});
export const meshMap = at("ConfigMap", "istio-system", "istio", "mesh/istio.yaml", 1);

export const source: SourceState = {
  name: "playground",
  path: "/home/you/playground",
  cluster: null,
  files: 9,
  objects: 14,
  ignored: [{ kind: "Gateway", count: 2 }],
  epoch: 3,
  readAt: "2026-11-23T14:02:18Z",
  editable: true,
  istio: {
    version: "1.31",
    found: "1.31",
    from: "label app.kubernetes.io/version of ConfigMap istio-system/istio",
    chosen: false,
    choices: ["1.32", "1.31", "1.24", "1.4"],
  },
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
    offer: null,
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
    offer: null,
  },
  ...[0, 2].map((index): Finding => ({
    code: "IST0131",
    level: "info",
    object: at("VirtualService", "shop", "api", "egress/api.yaml", 20),
    field: `spec.http[${index}].match[1]`,
    file: "egress/api.yaml",
    line: 24 + index,
    column: 5,
    message: `this match is never used: spec.http[${index}] takes its requests`,
    fix: "take it away, or put it before the rule that hides it",
    offer: {
      change: `take spec.http[${index}].match[1] away`,
      command: "kubectl patch virtualservice.networking.istio.io api -n shop --type=json -p '[]'",
      blockedBecause: null,
    },
  })),
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

const injector: InjectorRow = {
  revision: "",
  tags: [],
  includeRanges: "*",
  excludeRanges: "10.60.0.0/16,10.40.8.0/22",
  includePorts: "",
  excludePorts: "9092",
  object: at("ConfigMap", "istio-system", "istio-sidecar-injector", "mesh/injector.yaml", 31),
  written: { file: "mesh/injector.yaml", line: 31, column: 11 },
  unsettable: [],
  note: null,
  workloads: 3,
};
/** An injector of Istio 1.3, whose lists are in its template. */
export const oldInjector: InjectorRow = {
  ...injector,
  revision: "1-3",
  tags: ["old"],
  excludeRanges: "10.0.0.0/8",
  excludePorts: "",
  unsettable: ["includePorts", "excludePorts"],
  note: "This release of Istio (1.0 to 1.3) keeps the lists inside its injection template.",
  workloads: 1,
};

export const bypass: PolicyView["bypass"] = {
  injectors: [injector],
  unknown: [],
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
      plane: "sidecar",
      planeBecause: null,
      withoutSidecar: 0,
      workloads: 1,
      counts: { registered: 1500, passthrough: 341, blocked: 0, bypassed: 4 },
    },
    {
      namespace: "shop",
      mode: "REGISTRY_ONLY",
      inherited: false,
      writtenIn: "Sidecar shop/default",
      plane: "sidecar",
      planeBecause: null,
      withoutSidecar: 0,
      workloads: 2,
      counts: { registered: 362, passthrough: 0, blocked: 27, bypassed: 0 },
    },
    {
      namespace: "batch",
      mode: "ALLOW_ANY",
      inherited: true,
      writtenIn: "inherits mesh",
      plane: "ambient",
      planeBecause: "istio.io/dataplane-mode: ambient of the namespace",
      withoutSidecar: 2,
      workloads: 2,
      counts: { registered: 0, passthrough: 0, blocked: 0, bypassed: 0 },
    },
  ],
  health: [
    { name: "Folder", state: "good", detail: "9 files, 14 objects, watched" },
    {
      name: "Istio",
      state: "good",
      detail: "decided as 1.31: label app.kubernetes.io/version of ConfigMap istio-system/istio",
    },
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
