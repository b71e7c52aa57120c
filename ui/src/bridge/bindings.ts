// Generated from src-tauri/src/dto; `make bindings` writes it again.
export type Verdict = "registered" | "passthrough" | "blocked" | "bypassed";
export type Mode = "ALLOW_ANY" | "ALLOW_ANY_DYNAMIC_DNS" | "REGISTRY_ONLY";
export type Place = { file: string, line: number, column: number, };
export type ObjectRef = { kind: string, namespace: string, name: string, file: string, line: number, };
export type Fault = { 
/**
 * Stable word for the kind of failure.
 */
code: string, 
/**
 * What failed, with the names in it.
 */
message: string, 
/**
 * What to do about it.
 */
hint: string | null, 
/**
 * Where it is written.
 */
at: Place | null, };
export type IgnoredKind = { kind: string, count: number, };
export type LostWatch = { kinds: Array<string>, fault: Fault, seconds: number, };
export type ClusterState = { version: string, production: boolean, insecure: boolean, editing: boolean, 
/**
 * Kinds that this person may not change.
 */
forbidden: Array<string>, 
/**
 * What cannot be read now; what was read last stays.
 */
lost: LostWatch | null, };
export type ContextRow = { name: string, server: string, user: string, insecure: boolean, plugin: string | null, current: boolean, production: boolean, };
export type SourceState = { name: string, 
/**
 * Path of the folder, or address of the API server.
 */
path: string, cluster: ClusterState | null, files: number, objects: number, ignored: Array<IgnoredKind>, epoch: number, readAt: string, editable: boolean, errors: Array<Fault>, };
export type ModeScope = { scope: string, mode: Mode, written: Place | null, object: ObjectRef | null, };
export type VerdictCounts = { registered: number, passthrough: number, blocked: number, bypassed: number, };
export type NamespaceRow = { namespace: string, mode: Mode, inherited: boolean, writtenIn: string, workloads: number, counts: VerdictCounts, };
export type Health = "good" | "warn" | "bad" | "off";
export type DataSource = { name: string, state: Health, detail: string, };
export type NextAction = "startSandbox" | "openLog" | "allow" | "switchMode" | "review" | "fixFile" | "undo";
export type NextStep = { text: string, why: string, action: NextAction, argument: string | null, };
export type Overview = { sentence: string, modes: Array<ModeScope>, flows: VerdictCounts, destinations: VerdictCounts, services: Array<ServiceRow>, bypass: BypassView, namespaces: Array<NamespaceRow>, health: Array<DataSource>, next: NextStep, };
export type Staged = "added" | "changed" | "deleted";
export type ServicePort = { number: number, name: string, protocol: string, targetPort: number | null, };
export type ServiceRow = { object: ObjectRef, hosts: Array<string>, addresses: Array<string>, ports: Array<ServicePort>, resolution: string, location: string, exportTo: Array<string>, timeoutMs: number | null, staged: Staged | null, };
export type TimeoutRow = { object: ObjectRef, host: string, routes: number, timeoutMs: number | null, staged: Staged | null, };
export type WorkloadOverrides = { workload: string, overrides: Array<string>, };
export type BypassView = { includeRanges: string, excludeRanges: string, includePorts: string, excludePorts: string, written: Place | null, workloads: Array<WorkloadOverrides>, };
export type PolicyView = { modes: Array<ModeScope>, services: Array<ServiceRow>, timeouts: Array<TimeoutRow>, bypass: BypassView, findings: Array<Finding>, };
export type Level = "error" | "warning" | "info";
export type Finding = { code: string, level: Level, object: ObjectRef | null, field: string, file: string, line: number, column: number, message: string, fix: string | null, };
export type DraftKind = "ServiceEntry" | "VirtualService";
export type ServiceForm = { name: string, namespace: string, hosts: Array<string>, addresses: Array<string>, ports: Array<ServicePort>, resolution: string, location: string, exportTo: Array<string>, };
export type TimeoutForm = { name: string, namespace: string, host: string, timeoutMs: number | null, };
export type Draft = { kind: DraftKind, yaml: string, service: ServiceForm | null, timeout: TimeoutForm | null, formGap: string | null, sentence: string, resolutionWhy: string | null, file: string, findings: Array<Finding>, fault: Fault | null, };
export type Edit = { "kind": "mode", scope: string, mode: Mode, } | { "kind": "put", object: DraftKind, namespace: string, name: string, yaml: string, } | { "kind": "delete", object: DraftKind, namespace: string, name: string, } | { "kind": "ranges", includeRanges: string, excludeRanges: string, includePorts: string, excludePorts: string, } | { "kind": "accessLog", scope: string, on: boolean, until: string | null, };
export type StagedEdit = { id: number, edit: Edit, title: string, at: string, };
export type FileState = "changed" | "added" | "deleted";
export type Sign = " " | "+" | "-";
export type DiffLine = { sign: Sign, old: number | null, new: number | null, text: string, };
export type DiffHunk = { header: string, lines: Array<DiffLine>, };
export type FileDiff = { file: string, state: FileState, hunks: Array<DiffHunk>, command: string, };
export type ImpactRow = { workload: string, destination: string, flows: number, before: Verdict, after: Verdict, beforeWhy: string, afterWhy: string, host: string | null, port: number, };
export type Impact = { seen: number, undecidable: number, newlyBlocked: Array<ImpactRow>, newlyAllowed: Array<ImpactRow>, changed: Array<ImpactRow>, same: number, };
export type Conflict = { file: string, base: string, mine: string, theirs: string, };
export type Review = { edits: Array<StagedEdit>, diffs: Array<FileDiff>, impact: Impact, findings: Array<Finding>, conflicts: Array<Conflict>, warnings: Array<string>, applicable: boolean, blockedBecause: string | null, };
export type ImpactCounts = { newlyBlocked: number, newlyAllowed: number, };
export type JournalEntry = { id: number, at: string, title: string, files: Array<string>, undone: boolean, undoable: boolean, undoBlocked: string | null, diffs: Array<FileDiff>, impact: ImpactCounts, };
export type Keep = "mine" | "theirs";
export type Phase = "stopped" | "starting" | "running" | "failed";
export type Way = "namespace" | "proxy";
export type Site = { host: string, address: string, ports: Array<number>, what: string, };
export type SandboxState = { state: Phase, workload: string, step: string | null, policyHash: string | null, captured: string | null, explicitProxy: string | null, admin: string | null, pid: number | null, memoryKb: number | null, connections: number | null, since: string | null, fault: Fault | null, way: Way, editToEffectMs: number | null, sites: Array<Site>, };
export type RequestResult = { command: string, status: number | null, exit: number, tookMs: number, verdict: Verdict | null, flowId: number | null, siteSaw: Array<[string, string]>, responseHeaders: Array<[string, string]>, body: string, stderr: string, };
export type CommandStream = "stdout" | "stderr" | "exit";
export type CommandEvent = { id: number, stream: CommandStream, text: string, code: number | null, };
export type Workload = { name: string, labels: Array<[string, string]>, };
export type Flow = { id: number, time: string, verdict: Verdict, workload: string, source: string, destination: string, host: string | null, sni: string | null, 
/**
 * Host, else SNI, else the address.
 */
name: string, port: number, protocol: string, method: string | null, path: string | null, status: number, flags: string, details: string, bytesSent: number, bytesReceived: number, durationMs: number, cluster: string | null, route: string | null, upstream: string | null, requestId: string | null, policyHash: string, };
export type Token = { name: string, value: string, meaning: string, };
export type FlowDetails = { flow: Flow, line: string, tokens: Array<Token>, sentence: string, similar: number, };
export type ExcerptLine = { line: number, text: string, lit: boolean, };
export type Step = { step: string, outcome: string, object: ObjectRef | null, excerpt: Array<ExcerptLine>, };
export type Why = { verdict: Verdict, sentence: string, steps: Array<Step>, otherwise: string | null, 
/**
 * Policy hash; says when the policy has changed since.
 */
decidedBy: string, };
export type LogQuery = { text: string, verdicts: Array<Verdict>, workloads: Array<string>, hosts: Array<string>, statuses: Array<number>, flags: Array<string>, };
export type FacetField = "verdict" | "workload" | "host" | "status" | "flags";
export type FacetValue = { value: string, count: number, };
export type Facet = { field: FacetField, values: Array<FacetValue>, };
export type LogPage = { rows: Array<Flow>, matched: number, kept: number, total: number, dropped: number, firstId: number, lastId: number, facets: Array<Facet>, lagMs: number, perSecond: Array<number>, };
export type FlowsAdded = { lastId: number, added: number, dropped: number, };
export type DestinationRow = { name: string, port: number, protocol: string, verdict: Verdict, workloads: Array<string>, requests: number, bytes: number, p95Ms: number, lastSeen: string, rule: ObjectRef | null, evidence: string, };
export type FollowedWorkload = { 
/**
 * `namespace/name`.
 */
name: string, pods: number, followed: number, };
export type FollowView = { pods: number, followed: number, 
/**
 * Pods that are followed at most.
 */
bound: number, workloads: Array<FollowedWorkload>, 
/**
 * Workloads and namespaces that were chosen; none for all.
 */
chosen: Array<string>, unread: number, unreadBecause: string | null, fault: Fault | null, };
export type SwitchedOn = { 
/**
 * `mesh`, `namespace shop` or `workload shop/cart`.
 */
scope: string, object: ObjectRef, 
/**
 * When it ends, RFC 3339; it stays until somebody removes it where there is no time.
 */
until: string | null, overdue: boolean, };
export type AccessLogView = { 
/**
 * Workloads there are.
 */
workloads: number, 
/**
 * Of these, the ones whose sidecars write no access log.
 */
off: number, 
/**
 * The first of them.
 */
firstOff: Array<string>, 
/**
 * Why that is so, for the first of them.
 */
because: string | null, 
/**
 * Why it cannot be told, where it cannot.
 */
unknown: Fault | null, switchedOn: Array<SwitchedOn>, 
/**
 * Why one that is due could not be removed, where it could not.
 */
removal: Fault | null, };
export type LogSource = { follow: FollowView, accessLog: AccessLogView, };
