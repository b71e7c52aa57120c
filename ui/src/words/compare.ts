/** Words of two policies side by side. */
import type { ComparedPage, Comparison, OtherWay, Pinned, PolicyChoice, SentBeside } from "../bridge/bindings";
import { clock, count, plural } from "./format";

export const policies: Record<PolicyChoice, { title: string; text: string }> = {
  source: { title: "As it is", text: "What the source says now, and whatever it will say." },
  staged: {
    title: "With changes",
    text: "It enforces what is staged too, as you stage it, before anything is applied.",
  },
  pinned: { title: "Pinned", text: "The policy as it was when it was pinned, whatever the source says." },
};

export const pin = "Pin this policy";
export const pinWhy =
  "Keeps the policy as it is now, to enforce it later or to compare with it, while this window is open.";
export const unpin = "Unpin";
export const pinnedAt = ({ source, staged, objects, at }: Pinned) =>
  `Pinned ${clock(at)}: ${source}, ${plural(objects, "object")}${staged ? `, with ${plural(staged, "staged change")}` : ""}`;
export const notPinned = "No policy is pinned";

export const compareWith = "Compare with…";
export const compareWhy =
  "Another policy decides everything too that this sidecar decides, from the same facts. Nothing is sent twice.";
export const startFirst = "Start the sandbox first: its requests are compared";
export const stopComparing = "Stop comparing";

const sidecar: Record<Comparison["beside"], string> = {
  stopped: "does not run",
  starting: "starts…",
  running: "runs",
  failed: "did not start",
};
/** The sidecar that enforces the other policy. */
export const beside = ({ beside: phase, policyHash }: Comparison) =>
  `Sidecar beside ${sidecar[phase]}, policy ${policyHash ?? "–"}`;

export const both = "Through both";
export const bothWhy = "Sends the request a second time, through the sidecar beside: what it does there is done twice.";
export const bothNot = "The sidecar beside does not run";

export const inForce = "In force";
export const other = "Compared with";
export const named = (choice: PolicyChoice) => policies[choice].title.toLowerCase();

/** How many of them would be different. */
export const summary = ({ compared, different, unknown }: ComparedPage) =>
  compared === 0
    ? "no request yet"
    : `${count(different)} of ${plural(compared, "request")} would be different${unknown ? `, ${count(unknown)} cannot be told` : ""}`;
export const onlyDifferent = "Only these";
export const noneYet =
  "Send a request above, or run a command: each appears here as it went, and as it would have gone.";
export const noneDifferent = "None of them would be different.";
export const cannotTell = "Cannot tell";
export const sent = "sent";
export const decided = "decided, not sent";

/** The answer, as one word or number: the status, the flags of a stream that ended badly, or that nothing is known of it. */
export const answer = (status: number | null, flags: string | null) =>
  status === null ? "?" : status !== 0 ? String(status) : flags && flags !== "-" ? flags : "–";
export const answerWhy = (way: OtherWay) => way.note ?? (way.sent ? "sent through the sidecar beside" : decided);
export const outcomeBeside = ({ status, exit }: SentBeside) =>
  status !== null ? String(status) : exit === 0 ? "connected" : `exit ${exit}`;
