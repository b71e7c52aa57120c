/** Words of the Policy screen. */
import type {
  DestinationRuleRow,
  GatewayRouteRow,
  GatewayRow,
  IstioRelease,
  KubernetesServiceRow,
  ServiceRow,
  TimeoutRow,
} from "../bridge/bindings";
import type { IconName } from "../parts/shapes";
import type { ListedKind } from "../screens/policy/listed";
import type { PolicyTab } from "../state/navigation.svelte";
import { duration, plural } from "./format";

export const tabs: { id: PolicyTab; title: string }[] = [
  { id: "mode", title: "Mode" },
  { id: "services", title: "Services" },
  { id: "timeouts", title: "Timeouts" },
  { id: "bypass", title: "Bypass ranges" },
  { id: "gateways", title: "Egress gateway" },
];

export const kindIcon: Record<ListedKind, IconName> = {
  ServiceEntry: "globe",
  Service: "box",
  DestinationRule: "route",
};
export const kindWord: Record<ListedKind, string> = {
  ServiceEntry: "ServiceEntries",
  Service: "Kubernetes Services",
  DestinationRule: "DestinationRules",
};
const portsOf = (ports: { number: number; protocol: string }[]) =>
  ports.map((port) => `${port.number} ${port.protocol}`).join(", ") || "no port";
export const kubernetesSummary = (row: KubernetesServiceRow) =>
  row.externalName !== null
    ? `Service · only a name in DNS for ${row.externalName}`
    : ["Service", portsOf(row.ports), row.headless ? "headless" : row.addresses.join(", ")].filter(Boolean).join(" · ");
export const ruleSummary = (row: DestinationRuleRow) =>
  [
    "DestinationRule",
    row.tlsMode ? `TLS ${row.tlsMode}` : "",
    row.subsets.length ? plural(row.subsets.length, "subset") : "",
    row.appliesToAll ? `for ${plural(row.appliesToAll, "service")}` : "for nothing registered",
  ]
    .filter(Boolean)
    .join(" · ");
export const serviceSummary = (row: ServiceRow) =>
  [
    row.ports.map((port) => `${port.number} ${port.protocol}`).join(", ") || "no port",
    row.resolution,
    row.object.name,
  ].join(" · ");

export const timeoutSummary = (row: TimeoutRow) =>
  `${row.timeoutMs === null ? "none: waits for ever" : duration(row.timeoutMs)} · ${row.object.name}`;

export const resolutions: { value: string; meaning: string }[] = [
  { value: "DNS", meaning: "The sidecar looks the name up itself." },
  { value: "DNS_ROUND_ROBIN", meaning: "Looked up too; one address for each new connection." },
  { value: "STATIC", meaning: "Needs addresses below; no name is looked up." },
  { value: "NONE", meaning: "Trusts the address that was dialled; the name can be forged." },
  { value: "DYNAMIC_DNS", meaning: "For wildcard hosts: the name asked for is looked up." },
];

export const protocols = ["HTTP", "HTTPS", "TLS", "TCP", "HTTP2", "GRPC", "MONGO"];

/** What the sidecar can see on a port of a protocol; help beside the port, not a decision. */
export const sees: Record<string, string> = {
  HTTP: "Path and status; timeouts work",
  HTTP2: "Path and status; timeouts work",
  GRPC: "Path and status; timeouts work",
  HTTPS: "SNI only: no paths, no status",
  TLS: "SNI only: no paths, no status",
  TCP: "Bytes only; matched by address",
  MONGO: "Bytes only; matched by address",
};

export const presets: { label: string; number: number; protocol: string; name: string }[] = [
  { label: "HTTP 80", number: 80, protocol: "HTTP", name: "http" },
  { label: "TLS 443", number: 443, protocol: "TLS", name: "tls" },
  { label: "Postgres 5432", number: 5432, protocol: "TCP", name: "tcp-postgres" },
  { label: "Mongo 27017", number: 27017, protocol: "MONGO", name: "mongo" },
];

export const hostsHelp = "Press Enter or comma after each. A wildcard covers the names below it, not the name itself.";
export const timeoutCovers =
  "From the last byte of the request to the last byte of the response, all retries included. WebSockets are not cut.";
export const timeoutGets =
  "The caller gets 504 with the body “upstream request timeout”; the log shows flag UT and response_timeout.";
export const noTlsTimeout =
  "Where the app speaks TLS itself, the sidecar sees one encrypted stream and no requests. Istio accepts a timeout there, and it does nothing. To have one, originate TLS in the sidecar: port 80 with targetPort 443, and a DestinationRule with tls.mode SIMPLE.";

export const onlySidecars = "A mode that is set here holds for pods that get a sidecar.";
export const modeHelp =
  "What it would have done to the recorded flows is shown here, with the lines it would write. Nothing is written by looking.";
export const selectorNote =
  "A Sidecar with a selector does not inherit from the namespace's Sidecar. One object decides; nothing is merged.";
export const notFirewall =
  "It catches missing ServiceEntries. It does not stop a workload that wants out. Holes found here:";
export const contain = "To contain, add NetworkPolicy or an egress gateway.";

export const rangesHelp = "A mask is required, as in 10.20.0.0/16; several with commas. Exclude always beats include.";
export const portsHelp = "Any address on these ports. Single ports only: Istio knows no port ranges.";
export const includeHelp = "* captures everything; a list captures only that; empty captures nothing.";
export const onlyThisRevision =
  "Each revision of the control plane has an injector of its own; the lists hold for the pods that it injects.";
export const notInTemplate = "Cannot be set here: this release of Istio knows it only as an annotation of a workload.";
export const noRanges =
  "No source says which ranges are the cluster's own. Your platform's tool does: gcloud container clusters describe, aws eks describe-cluster, az aks show.";
export const onlyThese =
  "Where only these are captured, all traffic to the outside bypasses the sidecar. The impact shows which destinations become invisible.";
export const blind = "No log, no metrics, no mode, no timeout: the sidecar never sees what is excluded.";
export const replaces =
  "An annotation of a workload replaces the mesh list. The two are never merged. Running pods keep the rules they started with.";

export const chooseService = "Choose a service at the left, or write a new one.";
export const noServices =
  "Policy names no external service. Under ALLOW_ANY everything passes unnamed; under REGISTRY_ONLY everything is refused.";
export const noTimeouts = "No VirtualService sets a timeout: requests wait for as long as the site does.";

export const readOnly = "Egret does not edit this kind. Change it where it comes from; the list follows.";
export const kubernetesRegistered =
  "Every Service of the cluster is a host of the registry: sidecars reach it in any mode, as far as exportTo and Sidecars let them see it.";
export const externalName =
  "Its name is an alias in DNS: what it points at is decided by that name, as if it had been called itself.";
export const ruleFor = (row: DestinationRuleRow) =>
  row.appliesToAll
    ? `Holds for ${row.host}, where the caller's namespace sees it.`
    : `${row.host} is no host of the registry, so it changes nothing.`;

export const noGateways = "No Gateway is here: nothing is told to leave by a gateway of its own.";
export const gatewayModes =
  "A gateway knows no outbound mode, no Sidecar and no passthrough: a host that nothing routes there gets 404, or its connection is closed.";
export const nobodyServes = "No workload here has these labels: nothing listens for it.";
export const gatewaySummary = (row: GatewayRow) =>
  [
    row.servers.map((server) => `${server.port} ${server.protocol}`).join(", ") || "no server",
    plural(row.routes.length, "host"),
  ].join(" · ");
export const gatewaySentence = (row: GatewayRow) => {
  const through = row.routes.filter((route) => route.fromMesh).length;
  return row.egress
    ? `Sidecars send ${plural(through, "host")} out by it.`
    : row.routes.length
      ? `${plural(row.routes.length, "host")} ${row.routes.length === 1 ? "is" : "are"} routed here, and no sidecar is told to send anything to it: it is for what comes in, or its rule for the mesh is missing.`
      : "No VirtualService binds to it.";
};
/** What keeps a host from going through, the nearest hop first. */
export const routeGap = (route: GatewayRouteRow, egress: boolean): string | null =>
  egress && !route.fromMesh
    ? "no rule for the mesh sends it here"
    : route.ports.length === 0
      ? "no server of the Gateway takes it"
      : route.onward.length === 0
        ? "no rule for the Gateway sends it on"
        : null;

export const modeUnknown = "not known: no ConfigMap istio can be read; ALLOW_ANY is assumed";

/** A draft whose object another hand has made or changed; `isNew` where this one is new. */
export const conflict = (isNew: boolean) =>
  isNew
    ? "There is an object of this name already. Give this one another name, or stage it: Review shows both, and asks which to keep."
    : "Somebody else has changed this object while it was open. Stage it: Review shows both versions, and asks which to keep.";

export const decideAs = "Decide as";
export const asFound = (found: string) => `Istio ${found}, as found`;
export const releaseFrom = ({ from }: IstioRelease) => `Found: ${from}.`;
export const releaseChosen = ({ version, found, from }: IstioRelease) =>
  `Chosen here: everything in this window, its sandbox too, is decided as Istio ${version}. Found was ${found}: ${from}.`;
