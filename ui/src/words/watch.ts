/** Words about where a cluster's flows come from: the pods that are followed, and the access log's switch. */
import type { AccessLogView, FollowView, SwitchedOn } from "../bridge/bindings";
import { clock, count, plural } from "./format";

export const scopeWords = (scope: string) => (scope === "mesh" ? "the whole mesh" : scope);

export const untilWords = (log: SwitchedOn) =>
  log.until === null
    ? "until somebody removes it"
    : log.overdue
      ? `and was to end at ${clock(log.until)}`
      : `until ${clock(log.until)}`;

/** What Egret switched on, in one sentence. */
export const switchedOn = (log: SwitchedOn) =>
  `Egret switched the access log on for ${scopeWords(log.scope)}, ${untilWords(log)}.`;

export const overdueWhy = (view: AccessLogView) =>
  view.removal
    ? `It could not be removed: ${view.removal.message}`
    : "It is removed by itself while editing is switched on.";
export const remove = "Remove…";

export const offTitle = "Access logging is off";
export function offText(view: AccessLogView): string {
  const because = view.because ?? "";
  if (view.off === view.workloads) return `No sidecar writes about its requests. ${because}`;
  const more = view.off - view.firstOff.length;
  const names = [
    ...view.firstOff.slice(0, 3),
    ...(view.off > 3 || more > 0 ? [`${count(view.off - Math.min(3, view.firstOff.length))} more`] : []),
  ];
  return `For ${count(view.off)} of ${plural(view.workloads, "workload")}: ${names.join(", ")}. ${because}`;
}
export const switchOn = "Switch it on…";

export const unread = (view: FollowView) =>
  `${plural(view.unread, "line")} cannot be read. ${view.unreadBecause ?? ""}`;
export const gaps = (view: FollowView) =>
  `Lines may be missing in ${plural(view.gaps, "place")}: the nodes had them no longer, or the last ones did not come.`;
export const failing = (view: FollowView) =>
  `The logs of ${plural(view.failing, "pod")} cannot be read. ${view.failingBecause ?? ""}`;

export const following = (view: FollowView) =>
  view.followed === view.pods ? plural(view.pods, "pod") : `${count(view.followed)} of ${plural(view.pods, "pod")}`;
export const boundWhy = (view: FollowView) =>
  `At most ${count(view.bound)} pods are followed at once: each takes a connection to the API server.`;

/** How long the access log stays on. */
export const durations = [
  { minutes: 15, label: "15 minutes" },
  { minutes: 60, label: "1 hour" },
  { minutes: null, label: "Until I remove it" },
] as const;
