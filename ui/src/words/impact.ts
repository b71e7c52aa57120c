/** Words about what a change would have done to recorded flows. */
import type { Impact } from "../bridge/bindings";
import { count, plural } from "./format";

/** In a cluster several causes are possible; Destinations names the one that is true. */
export const noFlows = (cluster: boolean) =>
  cluster
    ? "No flow is recorded, so nothing can be rehearsed. Destinations says why none is seen."
    : "No flow is recorded, so nothing can be rehearsed. Start the sandbox and send the requests that matter, then look again.";

export function impactSentence(impact: Impact): string {
  if (impact.seen === 0) return "Nothing is recorded to rehearse on.";
  const blocked = impact.newlyBlocked.length;
  const allowed = impact.newlyAllowed.length;
  if (blocked + allowed + impact.changed.length === 0) return "No recorded flow would have been decided otherwise.";
  return `${plural(blocked, "destination")} newly blocked, ${count(allowed)} newly allowed.`;
}

export const impactEvidence = (impact: Impact) =>
  `rehearsed on ${plural(impact.seen, "recorded flow")}; ${count(impact.same)} ${impact.same === 1 ? "stays as it is" : "stay as they are"}` +
  (impact.undecidable > 0 ? `, ${count(impact.undecidable)} cannot be decided for want of a name` : "");
