/** Words of the Sandbox. */
import type { Reach, RequestResult, SandboxState } from "../bridge/bindings";
import { plural } from "./format";

export const heading: Record<SandboxState["state"], string> = {
  stopped: "No sidecar runs",
  starting: "Starting…",
  running: "Sidecar runs",
  failed: "The sidecar did not start",
};

export const stoppedTitle = "Try the policy on live traffic";
export const stoppedText =
  "The sandbox runs a process behind Egret's own sidecar on this computer, with the folder's policy and the identity of a workload. No cluster is needed.";
export const stoppedEvidence = "It needs no root, and leaves no rule, namespace or file behind.";

export const ways = {
  namespace: {
    title: "Command in its own network",
    text: "no root, no other way out: every TCP connection is redirected to the sidecar",
  },
  proxy: {
    title: "HTTP proxy setting",
    text: "this system cannot redirect; only programs that obey http_proxy are governed",
  },
};

export const leavesNothing = "Stops with the app. Leaves no rule, namespace or file behind.";

export const runsAs = "Run as…";
export const runsAsOther = (running: string, wanted: string) =>
  `The sandbox runs as ${running}. Starting it as ${wanted} ends what runs in it now.`;

/** What the sandbox enforces beside the policy as it is. */
export const withStaged = (edits: number) =>
  edits === 0 ? "with what is staged: nothing now" : `with ${plural(edits, "staged change")}`;

export const takenOver = "Its commands get";
export const takesVariables = "The workload's variables and files";
export const takesSecrets = "Those of Secrets too";
export const takesWhy: Record<SandboxState["takes"], string> = {
  nothing: "Nothing of the workload but its place.",
  variables: "Those of its container, and the ConfigMaps that it mounts, where it mounts them. Secrets are left out.",
  secrets: "Secrets go into the commands that you run here, and to no disk, log or window.",
};
/** What commands get, and how much they do not. */
export const taken = ({ variables, files, leftOut }: SandboxState) =>
  `${plural(variables, "variable")}, ${plural(files, "mount")}${leftOut.length ? `, left out: ${leftOut.length}` : ""}`;

export const withPinned = "with the pinned policy";

/** Connections to the cluster's Services. */
export const reach = ({ total, open }: Reach) =>
  total === 0 ? "through port-forwards, none yet" : `${plural(total, "port-forward")}, ${open} open`;

/** What a request came to, in one word or number: the HTTP status, or the exit code of the client. */
export const outcome = (result: RequestResult) =>
  result.status !== null ? String(result.status) : result.exit === 0 ? "connected" : `exit ${result.exit}`;

export const notRunning = "Start the sandbox first: requests leave from inside it.";
