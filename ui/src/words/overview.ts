/** Words of the Overview. */
import type { BypassView, ModeScope, NextStep, ServiceRow } from "../bridge/bindings";
import { place, plural } from "./format";

export const unit = { registered: "destinations", passthrough: "destinations", blocked: "destinations", bypassed: "" };

export const modeWhere = (scope: ModeScope | undefined) =>
  !scope?.written
    ? "Written nowhere, so Istio's default holds."
    : `Written in ${scope.object ? `${scope.object.kind} ${scope.object.namespace}/${scope.object.name}, ` : ""}${within(scope)}.`;

/** In a cluster an object is a file of its own, whose name would only say the object again. */
const within = ({ object, written }: ModeScope) =>
  !written ? "" : object && written.file.startsWith(`${object.kind}/`) ? `line ${written.line}` : place(written);

export const list = (text: string) =>
  text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);

export const actionIcon = {
  startSandbox: "play",
  openLog: "scroll-text",
  allow: "plus",
  switchMode: "history",
  review: "arrow-right",
  fixFile: "file-warning",
  undo: "undo-2",
} as const satisfies Record<NextStep["action"], string>;

export interface Hole {
  icon: "route-off" | "circle-dashed" | "globe" | "radio" | "layers";
  count: string;
  title: string;
  detail: string;
  tab: "bypass" | "services" | "mode" | null;
}

/** What no policy can govern, from what is configured. UDP is always on the list: no sidecar captures it. */
export function holes(bypass: BypassView, services: ServiceRow[]): Hole[] {
  const ranges = list(bypass.excludeRanges);
  const ports = list(bypass.excludePorts);
  const included = list(bypass.includeRanges);
  const trusting = services.filter((row) => row.resolution === "NONE");
  const found: Hole[] = [];
  if (!included.includes("*"))
    found.push({
      icon: "route-off",
      count: String(included.length),
      title: included.length ? "Only some ranges are captured" : "No range is captured",
      detail: included.join(", ") || "everything leaves without the sidecar",
      tab: "bypass",
    });
  if (ranges.length)
    found.push({
      icon: "route-off",
      count: String(ranges.length),
      title: ranges.length === 1 ? "Range bypasses the sidecar" : "Ranges bypass the sidecar",
      detail: ranges.join(", "),
      tab: "bypass",
    });
  if (ports.length)
    found.push({
      icon: "route-off",
      count: String(ports.length),
      title: ports.length === 1 ? "Port bypasses the sidecar" : "Ports bypass the sidecar",
      detail: `${ports.join(", ")}, to any address`,
      tab: "bypass",
    });
  if (bypass.workloads.length)
    found.push({
      icon: "layers",
      count: String(bypass.workloads.length),
      title: bypass.workloads.length === 1 ? "Workload sets its own ranges" : "Workloads set their own ranges",
      detail: bypass.workloads.map((each) => each.workload).join(", "),
      tab: "bypass",
    });
  if (trusting.length)
    found.push({
      icon: "globe",
      count: String(trusting.length),
      title: `${trusting.length === 1 ? "Entry trusts" : "Entries trust"} forged names`,
      detail: trusting.map((row) => `${row.object.namespace}/${row.object.name}`).join(", ") + ", resolution NONE",
      tab: "services",
    });
  found.push({
    icon: "radio",
    count: "–",
    title: "UDP, QUIC and ICMP are never captured",
    detail: "the same in every Istio mesh; NetworkPolicy can stop them",
    tab: null,
  });
  return found;
}

export const flowsOf = (value: number) => plural(value, "flow");
