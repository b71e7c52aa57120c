/** Kubeconfigs, what a context leads to, and a cluster that is read but not changed. */
import type {
  ClusterState,
  ContextFacts,
  ContextRow,
  Feature,
  KubeconfigRow,
  PluginRow,
  Right,
  SourceState,
} from "../bindings";
import { source } from "./policy";

const context = (name: string, server: string, more: Partial<ContextRow> = {}): ContextRow => ({
  name,
  server,
  user: name,
  insecure: false,
  plugin: null,
  current: false,
  production: false,
  namespaces: [],
  asks: false,
  open: false,
  elsewhere: false,
  changed: false,
  ...more,
});

export const kubeconfigs: KubeconfigRow[] = [
  {
    id: "default",
    name: null,
    contexts: [
      context("kind-dev", "https://127.0.0.1:6443", { current: true }),
      context("eu-prod", "https://k8s.example.com", { insecure: true, plugin: "aws", production: true }),
    ],
    fault: null,
  },
];

export const pickedKubeconfig: KubeconfigRow = {
  id: "team",
  name: "team.yaml",
  contexts: [context("team-eu", "https://team.example.com", { plugin: "kubelogin", asks: true })],
  fault: null,
};

export const plugin: PluginRow = { command: "kubelogin get-token --server-id 'a b'", variables: ["TENANT"] };

const right = (feature: Feature, words: string, needs: string, more: Partial<Right> = {}): Right => ({
  feature,
  words,
  everywhere: true,
  namespaces: [],
  unsure: false,
  needs,
  namespace: null,
  ...more,
});

const rights: Right[] = [
  right("seePolicy", "See the policy", "list serviceentries.networking.istio.io"),
  right("followLogs", "Follow the sidecars' logs", "get pods/log"),
  right("writeServiceEntries", "Change services", "patch serviceentries.networking.istio.io", {
    everywhere: false,
    namespaces: ["default"],
  }),
  right("writeMesh", "Change the mesh's mode and bypass ranges", "get, patch configmaps", {
    everywhere: false,
    namespace: "istio-system",
  }),
  right("sendRequests", "Send requests from a pod", "get, create pods/exec"),
];

export const contextFacts: ContextFacts = {
  kubernetes: "v1.36.3",
  revisions: [
    { name: "default", versions: ["1.31.0"], tags: ["default", "prod"] },
    { name: "1-30", versions: ["1.30.2"], tags: [] },
  ],
  tagsSeen: true,
  sidecars: true,
  ambient: false,
  rights,
};

export const clusterSource = (name: string): SourceState => ({
  ...source,
  name,
  path: kubeconfigs[0]?.contexts.find((each) => each.name === name)?.server ?? "",
  editable: false,
  istio: { ...source.istio, choices: [] },
  cluster: {
    file: "default",
    version: "v1.36.3",
    production: name.includes("prod"),
    insecure: name.includes("prod"),
    editing: false,
    rights,
    lockedBecause: null,
    lost: null,
    unseen: [],
  },
});

/** The same, with what a test is about. */
export const clusterWith = (more: Partial<ClusterState>, name = "kind-dev"): SourceState => {
  const state = clusterSource(name);
  return { ...state, cluster: state.cluster && { ...state.cluster, ...more } };
};
