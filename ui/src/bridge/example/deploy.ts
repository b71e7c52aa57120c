/** Example of a sidecar beside a workload of the cluster. */
import type { DeliveryChoice, DeliveryState, DeliveryWay, DeployChecks, DeployLeft, DeployState } from "../bindings";

export const deployImage = "egret.dev/egret-proxy:0.1.0";

export const deliveries: DeliveryChoice[] = [
  {
    way: "kind",
    title: "kind",
    text: "To all nodes of the cluster dev.",
    command: "kind load image-archive egret-proxy.tar --name dev",
    refused: null,
  },
  {
    way: "registry",
    title: "Registry",
    text: "Pushed with the credentials of docker login or podman login.",
    command: "egret-proxy image --push REGISTRY/REPOSITORY:TAG",
    refused: null,
  },
];

export const noDelivery: DeliveryState = {
  phase: "none",
  way: null,
  text: "",
  sent: 0,
  total: 0,
  log: [],
  image: null,
  fault: null,
};

export const delivered = (way: DeliveryWay, reference: string): DeliveryState => ({
  ...noDelivery,
  phase: "done",
  way,
  image: way === "registry" ? `${reference.split(":")[0]}@sha256:116550de2e5a813264fad79ee01602e1` : deployImage,
});

export const deployChecks: DeployChecks = {
  checks: [
    { title: "Permissions", outcome: "fine", text: "All that it needs is allowed.", advice: null, command: null },
    {
      title: "Image",
      outcome: "unknown",
      text: `Whether the nodes have ${deployImage} is not known: nodes cannot be listed.`,
      advice: "No registry has it. Bring it to the nodes first:",
      command: "egret-proxy image --output egret-proxy.tar && kind load image-archive egret-proxy.tar --name dev",
    },
    {
      title: "Copy",
      outcome: "warning",
      text: "A second copy of the program runs: what it does by itself is done twice.",
      advice: null,
      command: null,
    },
  ],
  adds: ["ConfigMap egret-session-…: the policy, 23 objects", "Deployment sleep-egret-…: one pod, a copy of sleep"],
  refused: null,
  deliveries,
};

export const noDeployment: DeployState = {
  phase: "none",
  session: null,
  kind: "",
  workload: "",
  standsIn: "",
  mode: null,
  place: null,
  way: null,
  staged: false,
  steps: [],
  log: [],
  pods: [],
  generation: 0,
  policyAt: null,
  objects: 0,
  flows: 0,
  dropped: 0,
  since: null,
  fault: null,
  ended: null,
};

export const deployed: DeployState = {
  ...noDeployment,
  phase: "running",
  session: "3f9a1c07",
  kind: "Deployment",
  workload: "default/sleep",
  standsIn: "default/sleep-egret-3f9a1c07",
  mode: "observe",
  place: "copy",
  way: "capture",
  steps: [
    { title: "Bring the policy", state: "done", text: "23 objects, in the cluster" },
    { title: "Start the sidecar", state: "done", text: "1 of 1 pods are ready" },
    { title: "See traffic", state: "done", text: "Flows come in." },
  ],
  log: ["14:02:11 made ConfigMap egret-session-3f9a1c07", "14:02:12 made Deployment sleep-egret-3f9a1c07"],
  pods: [
    {
      name: "sleep-egret-3f9a1c07-7b4c9-x8x2q",
      policyHash: "8c1f02a7be00d1aa",
      generation: 1,
      source: "mounted",
      loaded: "2026-11-23T14:02:13Z",
      fault: null,
    },
  ],
  generation: 1,
  policyAt: "2026-11-23T14:02:11Z",
  objects: 23,
  flows: 9,
  since: "2026-11-23T14:02:14Z",
};

export const leftIn = (namespace: string): DeployLeft => ({
  session: "ab12cd34",
  namespace,
  workload: `Deployment ${namespace}/cart`,
  since: "2026-11-23T13:00:00Z",
  objects: ["ConfigMap egret-session-ab12cd34", "a sidecar in Deployment cart"],
});
