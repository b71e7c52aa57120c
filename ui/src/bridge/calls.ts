/** Every command of the app, typed. One function a command, nothing else: screens never name a command themselves. */
import type {
  CleanupRow,
  Connecting,
  ContextFacts,
  Countdown,
  DeliveryState,
  DeliveryWay,
  DeployChecks,
  DeployLeft,
  DeployOptions,
  DeployState,
  DestinationRow,
  Draft,
  Edit,
  Feature,
  FixKey,
  FlowDetails,
  GatewayRow,
  Holds,
  InWindow,
  JournalEntry,
  KubeconfigRow,
  LogPage,
  LogQuery,
  LogSource,
  ObjectText,
  Overview,
  OwnRangesView,
  PluginRow,
  PodsView,
  PolicyView,
  ProbeRow,
  ProbeWays,
  RegistryView,
  RequestResult,
  Review,
  SandboxState,
  ServiceForm,
  SourceState,
  StagedEdit,
  SyncState,
  TimeoutForm,
  Unconfirmed,
  Why,
  Workload,
  WorkloadKey,
} from "./bindings";
import { call } from "./channel";

export type ObjectKind = Draft["kind"];

export const sourceState = () => call<SourceState>("source_state");
/** Resolves to null where it is another window that shows the source, in front; so do the others that open one. */
export const openFolder = (path: string, window: InWindow) => call<SourceState | null>("open_folder", { path, window });
export const listKubeconfigs = () => call<KubeconfigRow[]>("list_kubeconfigs");
export const pickKubeconfig = () => call<KubeconfigRow[]>("pick_kubeconfig");
export const forgetKubeconfig = (file: string) => call<KubeconfigRow[]>("forget_kubeconfig", { file });
/** Namespaces to look in where not all may be listed. */
export const nameNamespaces = (file: string, name: string, namespaces: string[]) =>
  call<KubeconfigRow[]>("name_namespaces", { file, name, namespaces });
/** The program that a person must allow before the context is used; null where there is none. */
export const pluginToAllow = (file: string, name: string) => call<PluginRow | null>("plugin_to_allow", { file, name });
export const allowPlugin = (file: string, name: string, command: string) =>
  call<null>("allow_plugin", { file, name, command });
export const openContext = (file: string, name: string, window: InWindow) =>
  call<SourceState | null>("open_context", { file, name, window });
export const connecting = () => call<Connecting | null>("connecting");
export const cancelConnecting = () => call<null>("cancel_connecting");
export const contextFacts = (file: string, name: string) => call<ContextFacts>("context_facts", { file, name });
/** A Role with what the feature needs, as YAML. */
export const roleFor = (feature: Feature, namespace: string | null) => call<string>("role_for", { feature, namespace });
export const setEditing = (on: boolean) => call<SourceState>("set_editing", { on });
/** Resolves to null too where none is chosen. */
export const pickFolder = (window: InWindow) => call<SourceState | null>("pick_folder", { window });
/** Decides as another release of Istio; as the folder says where it is null. */
export const decideFor = (version: string | null) => call<SourceState>("decide_for", { version });
export const overview = () => call<Overview>("overview");
export const policyView = () => call<PolicyView>("policy_view");
/** Kubernetes Services and DestinationRules. */
export const registry = () => call<RegistryView>("registry");
export const gateways = () => call<GatewayRow[]>("gateways");
/** An object as it is written. */
export const objectText = (kind: string, namespace: string, name: string) =>
  call<ObjectText>("object_text", { kind, namespace, name });
export const destinations = () => call<DestinationRow[]>("destinations");

export const draftOpen = (kind: ObjectKind, namespace: string, name: string) =>
  call<Draft>("draft_open", { kind, namespace, name });
export const draftNew = (kind: ObjectKind, flowId: number | null) => call<Draft>("draft_new", { kind, flowId });
export const draftFromService = (form: ServiceForm, yaml: string | null) =>
  call<Draft>("draft_from_service", { form, yaml });
export const draftFromTimeout = (form: TimeoutForm, yaml: string | null) =>
  call<Draft>("draft_from_timeout", { form, yaml });
export const draftFromYaml = (kind: ObjectKind, yaml: string) => call<Draft>("draft_from_yaml", { kind, yaml });

export const stage = (edit: Edit) => call<StagedEdit[]>("stage", { edit });
export const unstage = (id: number) => call<StagedEdit[]>("unstage", { id });
export const staged = () => call<StagedEdit[]>("staged");
export const discardAll = () => call<StagedEdit[]>("discard_all");
export const review = () => call<Review>("review");
export const preview = (edits: Edit[]) => call<Review>("preview", { edits });
/** With a countdown the change is taken back unless somebody keeps it. */
export const apply = (countdown: Countdown | null) => call<JournalEntry>("apply", { countdown });
export const unconfirmed = () => call<Unconfirmed[]>("unconfirmed");
export const keepChange = (id: number) => call<null>("keep_change", { id });
/** Whether a cluster's sidecars have the newest change; null where none was applied. */
export const syncState = () => call<SyncState | null>("sync_state");
export const resolveConflict = (file: string, keep: "mine" | "theirs") =>
  call<Review>("resolve_conflict", { file, keep });
export const journal = () => call<JournalEntry[]>("journal");
export const settleChange = (id: number, side: Holds) => call<JournalEntry>("settle_change", { id, side });
export const leftovers = () => call<CleanupRow[]>("leftovers");
export const stageCleanup = (files: string[]) => call<StagedEdit[]>("stage_cleanup", { files });
/** Stages what mends findings of the open source. */
export const stageFixes = (fixes: FixKey[]) => call<StagedEdit[]>("stage_fixes", { fixes });
export const undo = (id: number | null) => call<JournalEntry>("undo", { id });

export const pods = () => call<PodsView | null>("pods");
/** The cluster's own ranges; null where the source is a folder. */
export const ownRanges = () => call<OwnRangesView | null>("own_ranges");
export const restartWorkloads = (workloads: WorkloadKey[]) => call<null>("restart_workloads", { workloads });
export const pauseRestart = (paused: boolean) => call<null>("pause_restart", { paused });
export const stopRestart = () => call<null>("stop_restart");

export const sandboxState = () => call<SandboxState>("sandbox_state");
export const sandboxStart = (workload: string, staged: boolean) =>
  call<SandboxState>("sandbox_start", { workload, staged });
export const sandboxStop = () => call<SandboxState>("sandbox_stop");
export const workloads = () => call<Workload[]>("workloads");
/** From the sandbox, or from a pod of the workload `pod` of the open cluster. */
export const sendRequest = (method: string, url: string, pod: string | null) =>
  call<RequestResult>("send_request", { method, url, pod });
export const runCommand = (command: string) => call<number>("run_command", { command });
export const stopCommand = (id: number) => call<null>("stop_command", { id });

export const openLogWindow = () => call<null>("open_log_window");
export const logPage = (query: LogQuery, before: number | null, limit: number) =>
  call<LogPage>("log_page", { query, before, limit });
export const logDetails = (id: number) => call<FlowDetails>("log_details", { id });
export const why = (id: number) => call<Why>("why", { id });
/** Where a cluster's flows come from; null for a folder. */
export const logSource = () => call<LogSource | null>("log_source");
/** Workloads and namespaces; all where there is none. */
export const followWorkloads = (workloads: string[]) => call<null>("follow_workloads", { workloads });
export const stageAccessLog = (scope: string, on: boolean, minutes: number | null) =>
  call<StagedEdit[]>("stage_access_log", { scope, on, minutes });
export const clearLog = () => call<null>("clear_log");
export const allowFromLog = (flowId: number) => call<null>("allow_from_log", { flowId });
export const showMain = (screen: string) => call<null>("show_main", { screen });

/** What can be done for a workload without curl. */
export const probeWays = (workload: string) => call<ProbeWays>("probe_ways", { workload });
export const probeImage = (image: string) => call<null>("probe_image", { image });
/** Resolves to the pod that has the container, once it runs. */
export const probeContainer = (workload: string) => call<string>("probe_container", { workload });
/** Resolves to the workload to send from, once it runs. */
export const probeDeploy = (namespace: string) => call<string>("probe_deploy", { namespace });
export const probeRemove = (namespace: string) => call<null>("probe_remove", { namespace });
export const probeCancel = () => call<null>("probe_cancel");
export const probes = () => call<ProbeRow[]>("probes");

/** The image that `egret-proxy image` writes. */
export const deployImage = () => call<string>("deploy_image");
/** Resolves once the image is where the nodes find it, or is not. */
export const deliver = (way: DeliveryWay, reference: string) => call<DeliveryState>("deliver", { way, reference });
export const deliverCancel = () => call<null>("deliver_cancel");
export const deliverState = () => call<DeliveryState>("deliver_state");
/** What would stand in the way; nothing is written. */
export const deployChecks = (options: DeployOptions) => call<DeployChecks>("deploy_checks", { options });
/** Resolves once the sidecar runs, or was taken away again. */
export const deployStart = (options: DeployOptions) => call<DeployState>("deploy_start", { options });
export const deployCancel = () => call<null>("deploy_cancel");
/** Resolves once nothing of it is left. */
export const deployStop = () => call<DeployState>("deploy_stop");
export const deployState = () => call<DeployState>("deploy_state");
export const deployStaged = (staged: boolean) => call<null>("deploy_staged", { staged });
/** What other sessions left in the open cluster. */
export const deployLeft = () => call<DeployLeft[]>("deploy_left");
export const deployRemove = (namespace: string, session: string) => call<null>("deploy_remove", { namespace, session });
