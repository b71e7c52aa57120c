/** Words of the Overview. */
import type { BypassView, InjectorRow, ModeScope, NamespaceRow, NextStep, Plane, ServiceRow } from "../bridge/bindings";
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

/** A revision of the control plane, as people call it. */
export const revisionName = (revision: string) => (revision === "" ? "default" : revision);

/** Who gets the values of an injector. */
export const injects = (row: InjectorRow) =>
  `${plural(row.workloads, "workload")} injected by it${row.tags.length ? `, also called ${row.tags.join(", ")}` : ""}`;

const distinct = (lists: string[]) => [...new Set(lists.flatMap(list))];
/** Ranges and ports that any revision's injector excludes. */
export const excluded = (bypass: BypassView) => ({
  ranges: distinct(bypass.injectors.map((each) => each.excludeRanges)),
  ports: distinct(bypass.injectors.map((each) => each.excludePorts)),
});

/** What a namespace without sidecars has instead. */
export const planeWord: Record<Exclude<Plane, "sidecar">, string> = {
  ambient: "no sidecar: ambient",
  nothing: "no sidecar",
};
/** The same where there is little room. */
export const planeChip: typeof planeWord = { ambient: "ambient", nothing: "no sidecar" };
export const planeMeaning: Record<Exclude<Plane, "sidecar">, string> = {
  ambient:
    "ztunnel passes on whatever nothing names: the outbound mode and Sidecars are not asked, and exportTo is ignored. A ServiceEntry works without HTTP rules, unless its traffic goes through a waypoint.",
  nothing:
    "Nothing of Istio carries its traffic: no mode, no ServiceEntry and no timeout reaches it, and no log tells of it.",
};

function partlyCaptured(injector: InjectorRow, several: boolean): Hole | null {
  const included = list(injector.includeRanges);
  if (included.includes("*")) return null;
  const within = several ? ` in revision ${revisionName(injector.revision)}` : "";
  return {
    icon: "route-off",
    count: String(included.length),
    title: `${included.length ? "Only some ranges are captured" : "No range is captured"}${within}`,
    detail: included.join(", ") || "everything leaves without the sidecar",
    tab: "bypass",
  };
}

function withoutSidecar(namespaces: NamespaceRow[], plane: Exclude<Plane, "sidecar">): Hole | null {
  const found = namespaces.filter((row) => row.plane === plane && row.workloads > 0);
  if (!found.length) return null;
  const what = found.length === 1 ? "Namespace" : "Namespaces";
  return {
    icon: "circle-dashed",
    count: String(found.length),
    title: plane === "ambient" ? `${what} in ambient mode: no mode holds` : `${what} without sidecars`,
    detail: found.map((row) => row.namespace).join(", "),
    tab: "mode",
  };
}

/** What no policy can govern, from what is configured. UDP is always on the list: no sidecar captures it. */
export function holes(bypass: BypassView, services: ServiceRow[], namespaces: NamespaceRow[]): Hole[] {
  const { ranges, ports } = excluded(bypass);
  const trusting = services.filter((row) => row.resolution === "NONE");
  const partly = bypass.injectors.map((each) => partlyCaptured(each, bypass.injectors.length > 1));
  const planes = (["ambient", "nothing"] as const).map((plane) => withoutSidecar(namespaces, plane));
  const alone = namespaces.filter((row) => row.plane === "sidecar").reduce((sum, row) => sum + row.withoutSidecar, 0);
  const found: Hole[] = [...partly, ...planes].filter((hole) => hole !== null);
  if (alone)
    found.push({
      icon: "circle-dashed",
      count: String(alone),
      title: `${alone === 1 ? "Workload" : "Workloads"} without a sidecar among others that have one`,
      detail: "by their labels, or because they use the host's network",
      tab: null,
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
