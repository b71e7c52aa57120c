/** Words about pods and their restart. */
import type { PodsRow, RestartRow, RunsWith } from "../bridge/bindings";
import { count, plural } from "./format";

/** Most workloads in the list; those with older rules come first. */
export const most = 200;

const runs: Record<RunsWith, string> = {
  older: "older rules",
  olderProxy: "older proxy",
  current: "current",
  none: "no sidecar",
};
/** What the pods of a workload run with. */
export const runsWith = (row: PodsRow) =>
  row.runsWith === "olderProxy" ? `${runs.olderProxy} ${row.proxyHas.join(", ")}` : runs[row.runsWith];

export const steps: Record<RestartRow["state"], string> = {
  waiting: "waits",
  rolling: "rolls",
  done: "restarted",
  failed: "failed",
  left: "left as it was",
};

export const rolling = (fresh: number, all: number) => `${count(fresh)} of ${plural(all, "pod")} new`;
export const question = (workloads: number) =>
  `${plural(workloads, "workload")}, one after the other; the first that fails ends it.`;
export const underWay = "A restart is under way";
export const readOnly = "Editing is switched off: switch it on at the foot of the rail";
export const nothingChosen = "No workload is chosen that runs with older rules or an older proxy";
export const paused = "Begins no further workload; what rolls already rolls on.";
export const stopping = "Stop begins no further workload; what rolls already rolls on.";
export const doesNotRoll = (kind: string) =>
  `Made by a ${kind} that Egret does not restart: delete its pods when it suits`;
export const injectedBy = (revision: string) => `A new pod gets the values of revision ${revision}.`;
export const noSidecar = "No sidecar was injected: nothing of its traffic is captured, no policy reaches it.";
export const more = (all: number) => `${count(most)} of ${count(all)} workloads shown, those with older rules first.`;
