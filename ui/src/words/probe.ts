/** Words of sending requests from a cluster: what was expected, and the ways to bring curl along. */

export const fromPod = (workload: string) =>
  `Requests start in a running pod of ${workload}, beside its own sidecar. Start the sandbox to try the policy without one.`;

export const containerLabel = "Add a container with curl…";
export const deploymentLabel = "Send from a probe…";

export const containerAsk = (workload: string) =>
  `A container with curl is added to a running pod of ${workload}, for pods that have neither curl nor wget. It shares the pod's network, so that its requests meet the same sidecar. It cannot be taken away again: it ends by itself after an hour, and stays listed in the pod until the pod goes.`;
export const deploymentAsk = (namespace: string) =>
  `A Deployment and a ServiceAccount called egret-probe are made in ${namespace}; you can remove them here at any time. Requests from it meet what holds for the namespace, not what holds for one workload alone: neither its annotations nor a Sidecar that selects it.`;

export const containerYes = "Add the container";
export const deploymentYes = "Deploy the probe";
export const editingOff = "Editing is switched off: switch it on at the foot of the rail.";

export const containerDone = (pod: string) => `A container with curl runs in ${pod}. Send the request again.`;
export const deploymentDone = (workload: string) => `Requests start in ${workload} now.`;
export const removed = (namespace: string) => `The probe is removed from ${namespace}.`;
export const stands = (namespace: string) => `A probe of Egret runs in ${namespace}.`;
export const left = (namespace: string) =>
  `A probe of Egret is left in ${namespace}. It can be removed in the Sandbox.`;
export const leftLabel = "Open Sandbox";

export const notLogged = "The sidecar logged nothing of it.";
