/** Words of a sidecar beside a workload of the cluster. */
import type {
  CheckOutcome,
  DeployDns,
  DeployMode,
  DeployPhase,
  DeployPlace,
  DeployState,
  DeployStepState,
  DeployWay,
  Feature,
} from "../bridge/bindings";

/** Of the pods of a copy, which is no workload of its own. */
export const copyLabel = "egret.dev/copy-of";

export const thisComputer = "This computer";
export const clusterWorkload = "Cluster workload";
export const under: Record<"computer" | "cluster", string> = {
  computer: "a process on this computer, behind the sidecar",
  cluster: "the sidecar beside a workload of the cluster",
};

export const heading: Record<DeployPhase, string> = {
  none: "No sidecar is deployed",
  starting: "Starting…",
  running: "Sidecar runs",
  stopping: "Removing…",
  failed: "No sidecar runs",
};

export const modes: [DeployMode, string, string][] = [
  ["observe", "Observe", "Everything passes. Each flow is recorded with the verdict that it would get."],
  ["enforce", "Enforce", "The policy decides: what it blocks does not leave."],
];

export const places: [DeployPlace, string, string][] = [
  ["copy", "Copy", "One more pod with the same program. No Service sends it anything; the workload stays as it is."],
  ["workload", "Workload", "All of its pods are replaced by pods with the sidecar, and again when it is removed."],
  [
    "pod",
    "Pod",
    "It is added to one pod that runs, and goes on running. When it has ended, two ended containers stay in the pod's spec.",
  ],
];

/** What sets the redirection up, and for how long it stands. */
const redirects: Record<DeployPlace, string> = {
  copy: "for one init container",
  workload: "for one init container",
  pod: "for one ephemeral container, which holds it for as long as the sidecar runs",
};
export const ways = (place: DeployPlace): [DeployWay, string, string][] => [
  [
    "capture",
    "Redirection",
    `All TCP of the pod goes through the sidecar. Setting that up takes NET_ADMIN, ${redirects[place]}.`,
  ],
  [
    "proxy",
    "Proxy variables",
    "HTTP_PROXY and HTTPS_PROXY are set. What does not obey them is not seen. No right is needed.",
  ],
];
export const podHasItsVariables = "A program that runs keeps the variables that it began with.";

export const dns: [DeployDns, string, string][] = [
  ["workload", "As set", "As its ISTIO_META_DNS_CAPTURE says, like Istio's sidecar; off where nothing sets it."],
  [
    "on",
    "On",
    "The sidecar answers names that the policy has addresses for, so TCP hosts on one port are told apart. DNS over TLS or HTTPS is not seen.",
  ],
  ["off", "Off", "The pod asks its DNS servers itself. TCP hosts that share a port are not told apart."],
];
export const dnsNeedsRedirection = "Only redirection leads DNS to the sidecar.";

export const policies: [boolean, string][] = [
  [false, "As it is"],
  [true, "With change set"],
];

export const outcome: Record<CheckOutcome, string> = {
  fine: "Fine",
  warning: "Note",
  refused: "Not possible",
  unknown: "Not known",
};

export const fixed = "To change anything but the policy, stop it first.";

export const checkFirst = "Check first: nothing is touched by it.";
/** Beside the heading of what the checks found, which may stand below the steps of an earlier try. */
export const checksTouch = "they touch nothing";
export const atWork = "It is checked once more, and started.";
export const calledOff = "Called off…";
export const removing = "Removing…";
/** Beside the mark of a step, for who does not see it. */
export const stepState: Record<DeployStepState, string> = {
  waiting: "Waiting",
  doing: "Under way",
  done: "Done",
  failed: "Failed",
};
export const startLabel = (mode: DeployMode, workload: string) =>
  `${mode === "observe" ? "Observe" : "Enforce on"} ${workload || "…"}`;
export const noWorkload = "The cluster shows no Deployment, StatefulSet or DaemonSet";
export const editingOff = "Editing is switched off: switch it on at the foot of the rail.";

export const idleTitle = "Put the sidecar beside a workload";
export const idleText =
  "Egret runs the same sidecar in the cluster, in a copy of a workload, in the workload itself or in a pod that runs, and shows what leaves it while the policy is tried.";
export const idleEvidence = "Checked before anything is touched, and taken away again without a trace.";

/** What each place asks of the API server. */
export const feature: Record<DeployPlace, Feature> = {
  copy: "deploySidecar",
  workload: "deploySidecar",
  pod: "attachSidecar",
};

/** By what it is found, and how it goes. */
export const marked: Record<DeployPlace, string> = {
  copy: "Both carry app.kubernetes.io/managed-by=egret and egret.dev/session.",
  workload:
    "The ConfigMap carries app.kubernetes.io/managed-by=egret and egret.dev/session, the workload and its pods egret.dev/session only.",
  pod: "The ConfigMap carries app.kubernetes.io/managed-by=egret and egret.dev/session, the pod egret.dev/session while the sidecar runs.",
};
export const goes =
  "Stop takes it all away, and looks whether anything is left. Closing the window takes it away too, and does not wait to look.";

export const flows = (state: DeployState) => {
  const lost = state.dropped ? `, ${state.dropped} lost on the way` : "";
  return `${state.flows} ${state.flows === 1 ? "flow" : "flows"}${lost}`;
};

export const left = (count: number) =>
  count === 1
    ? "A sidecar of an earlier session is left in this cluster. It can be removed in the Sandbox."
    : `${count} sidecars of earlier sessions are left in this cluster. They can be removed in the Sandbox.`;
export const leftLabel = "Open Sandbox";
export const leftTitle = "Left in the cluster";
export const leftText =
  "A killed app, or a removal that did not come to its end, left them; or another computer uses them.";
export const leftOf = (workload: string, namespace: string) => workload || `something in ${namespace}`;
export const removed = "It is removed.";

/** Beside the verdict that a flow would get: it was let through all the same. */
export const observed = "passed";
