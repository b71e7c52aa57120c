/** Words of Destinations, and which of the causes is true when the list is empty. */
import type { BypassView, DestinationRow, LogSource, SandboxState } from "../bridge/bindings";
import { plural } from "./format";
import { list } from "./overview";
import { following, offText, offTitle } from "./watch";

export interface Cause {
  icon: "flask-conical" | "hourglass" | "lock" | "route-off" | "scroll-text";
  title: string;
  text: string;
  action: "start" | "test" | "ranges" | "log";
  label: string;
  evidence: string;
}

/** What is known of a cluster's own sidecars as a source of flows. */
export interface Watched {
  log: LogSource | null;
  /** Why their logs may not be read, where they may not. */
  forbidden: string | null;
}

const nothingYet = "Nothing has left yet";
const openTheLog = "Open the live log";

/** Why a cluster's sidecars cannot tell of anything. */
function whyUnread({ log, forbidden }: Watched): Cause | null {
  const cause = (icon: Cause["icon"], title: string, text: string): Cause => ({
    icon,
    title,
    text,
    action: "log",
    label: openTheLog,
    evidence: "flows come from the access logs of the cluster's sidecars",
  });
  if (forbidden !== null) return cause("lock", "The sidecars' logs may not be read", `Following them ${forbidden}.`);
  if (log === null) return null;
  const { follow, accessLog } = log;
  if (follow.fault) return cause("scroll-text", "No sidecar's log can be read", follow.fault.message);
  if (accessLog.workloads > 0 && accessLog.off === accessLog.workloads)
    return cause("scroll-text", offTitle, offText(accessLog));
  if (follow.followed === 0)
    return cause("scroll-text", "No sidecar's log is followed", `${plural(follow.pods, "pod")} with a sidecar can be.`);
  return null;
}

/** `cluster` is null where a folder is open. */
export function whyEmpty(sandbox: SandboxState | null, bypass: BypassView | null, cluster: Watched | null): Cause {
  const isRunning = sandbox?.state === "running";
  const unread = cluster && !isRunning ? whyUnread(cluster) : null;
  if (unread) return unread;
  if (!isRunning && !cluster)
    return {
      icon: "flask-conical",
      title: "No sidecar runs, so nothing can be seen",
      text: "Flows come from Egret's own sidecar. Start the sandbox and what leaves it shows here at once.",
      action: "start",
      label: "Open the sandbox",
      evidence: "the policy is read; only traffic is missing",
    };
  const blind = bypass?.injectors.every((each) => list(each.includeRanges).length === 0) ?? false;
  const written = bypass?.injectors[0]?.written;
  if (blind)
    return {
      icon: "route-off",
      title: "Everything goes round the sidecar",
      text: "No range is captured: nothing is redirected, so nothing can be seen or blocked.",
      action: "ranges",
      label: "Open bypass ranges",
      evidence: written ? `${written.file}:${written.line}` : "",
    };
  if (!isRunning)
    return {
      icon: "hourglass",
      title: nothingYet,
      text: "The sidecars' logs are followed, and none has told of a request that leaves the mesh.",
      action: "log",
      label: openTheLog,
      evidence: cluster?.log ? `the logs of ${following(cluster.log.follow)} are followed` : "",
    };
  return {
    icon: "hourglass",
    title: nothingYet,
    text: "The sidecar runs and writes its log. Nothing inside the sandbox has opened a connection.",
    action: "test",
    label: "Send a test request",
    evidence: `sidecar of ${sandbox.workload}, policy ${sandbox.policyHash ?? "unknown"}`,
  };
}

export const verdictSentence = (row: DestinationRow) =>
  ({
    registered: "Policy names it.",
    passthrough: "No policy declares it. The sidecar lets it through to the address the app dialled.",
    blocked: "No policy declares it, and the mode in force refuses what is unknown.",
    bypassed: "It is in an excluded range or port: the sidecar never saw it. No log, no mode, no timeout applies.",
  })[row.verdict];

export const allowFirst = "Allow it first: a timeout is written for a registered host";
export const noTimeout =
  "Timeout: TLS passthrough and TCP have no requests to time. Originate TLS in the sidecar to have one.";
