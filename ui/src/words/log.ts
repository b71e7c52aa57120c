/** Words of the log window. */
import type { Facet } from "../bridge/bindings";

export const facetTitle: Record<Facet["field"], string> = {
  verdict: "Verdict",
  flags: "Response flag",
  status: "Code",
  host: "Destination",
  workload: "Workload",
};
export const facetOrder: Facet["field"][] = ["verdict", "flags", "status", "host", "workload"];

/** Istio's response flags, as its access log writes them. */
export const flagMeaning: Record<string, string> = {
  "-": "none",
  UH: "no healthy upstream",
  UF: "connect failed",
  "UF,URX": "connect failed, retried",
  URX: "retries used up",
  UT: "timeout",
  NR: "no route",
  DC: "caller left",
  UC: "upstream closed",
  DPE: "not HTTP as spoken",
  UPE: "upstream spoke wrongly",
  NC: "no cluster",
  DF: "name not resolved",
};

/** What is written in the line, and beside it what that means where it is not plain. */
export const facetValue = (field: Facet["field"], value: string) => (field === "status" && value === "0" ? "–" : value);
export const facetNote = (field: Facet["field"], value: string) =>
  field === "flags" ? (flagMeaning[value] ?? "") : field === "status" && value === "0" ? "TLS and TCP" : "";

export const emptyTitle = "No line yet";
export const emptyText =
  "The sidecar writes one line for each request, and one for each TLS or TCP connection when it ends. Send a request in the Sandbox.";
