/** Words of Destinations, and which of the causes is true when the list is empty. */
import type { BypassView, DestinationRow, SandboxState } from "../bridge/bindings";
import { list } from "./overview";

export interface Cause {
  icon: "flask-conical" | "hourglass" | "route-off";
  title: string;
  text: string;
  action: "start" | "test" | "ranges";
  label: string;
  evidence: string;
}

export function whyEmpty(sandbox: SandboxState | null, bypass: BypassView | null): Cause {
  if (sandbox?.state !== "running")
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
  return {
    icon: "hourglass",
    title: "Nothing has left yet",
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

export const noTimeout =
  "Timeout: TLS passthrough and TCP have no requests to time. Originate TLS in the sidecar to have one.";
