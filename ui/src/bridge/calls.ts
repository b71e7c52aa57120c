/** Every command of the app, typed. One function a command, nothing else: screens never name a command themselves. */
import type {
  ContextRow,
  DestinationRow,
  Draft,
  Edit,
  FlowDetails,
  JournalEntry,
  LogPage,
  LogQuery,
  LogSource,
  Overview,
  PolicyView,
  RequestResult,
  Review,
  SandboxState,
  ServiceForm,
  SourceState,
  StagedEdit,
  TimeoutForm,
  Why,
  Workload,
} from "./bindings";
import { call } from "./channel";

export type ObjectKind = Draft["kind"];

export const sourceState = () => call<SourceState>("source_state");
export const openFolder = (path: string) => call<SourceState>("open_folder", { path });
export const listContexts = () => call<ContextRow[]>("list_contexts");
export const openContext = (name: string) => call<SourceState>("open_context", { name });
export const setEditing = (on: boolean) => call<SourceState>("set_editing", { on });
export const pickFolder = () => call<SourceState | null>("pick_folder");
export const overview = () => call<Overview>("overview");
export const policyView = () => call<PolicyView>("policy_view");
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
export const apply = () => call<JournalEntry>("apply");
export const resolveConflict = (file: string, keep: "mine" | "theirs") =>
  call<Review>("resolve_conflict", { file, keep });
export const journal = () => call<JournalEntry[]>("journal");
export const undo = (id: number | null) => call<JournalEntry>("undo", { id });

export const sandboxState = () => call<SandboxState>("sandbox_state");
export const sandboxStart = (workload: string) => call<SandboxState>("sandbox_start", { workload });
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
