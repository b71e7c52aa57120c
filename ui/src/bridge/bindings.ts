export type Verdict = "registered" | "passthrough" | "blocked" | "bypassed";
export type Mode = "ALLOW_ANY" | "ALLOW_ANY_DYNAMIC_DNS" | "REGISTRY_ONLY";
export type Place = { file: string; line: number; column: number };
export type ObjectRef = { kind: string; namespace: string; name: string; file: string; line: number };
export type Fault = { code: string; message: string; hint: string | null; at: Place | null };

export type IgnoredKind = { kind: string; count: number };
export type SourceState = { name: string; path: string; files: number; objects: number; ignored: IgnoredKind[]; epoch: number; readAt: string; editable: boolean; errors: Fault[] };
export type ModeScope = { scope: string; mode: Mode; written: Place | null; object: ObjectRef | null };
export type VerdictCounts = { registered: number; passthrough: number; blocked: number; bypassed: number };
export type NamespaceRow = { namespace: string; mode: Mode; inherited: boolean; writtenIn: string; workloads: number; counts: VerdictCounts };
export type DataSource = { name: string; state: "good" | "warn" | "bad" | "off"; detail: string };
export type NextStep = { text: string; why: string; action: "startSandbox" | "openLog" | "allow" | "switchMode" | "review" | "fixFile" | "undo"; argument: string | null };
export type Overview = { sentence: string; modes: ModeScope[]; flows: VerdictCounts; destinations: VerdictCounts; services: ServiceRow[]; bypass: BypassView; namespaces: NamespaceRow[]; health: DataSource[]; next: NextStep };

export type ServicePort = { number: number; name: string; protocol: string; targetPort: number | null };
export type ServiceRow = { object: ObjectRef; hosts: string[]; addresses: string[]; ports: ServicePort[]; resolution: string; location: string; exportTo: string[]; timeoutMs: number | null; staged: "added" | "changed" | "deleted" | null };
export type TimeoutRow = { object: ObjectRef; host: string; routes: number; timeoutMs: number | null; staged: "added" | "changed" | "deleted" | null };
export type BypassView = { includeRanges: string; excludeRanges: string; includePorts: string; excludePorts: string; written: Place | null; workloads: { workload: string; overrides: string[] }[] };
export type PolicyView = { modes: ModeScope[]; services: ServiceRow[]; timeouts: TimeoutRow[]; bypass: BypassView; findings: Finding[] };
export type Finding = { code: string; level: "error" | "warning" | "info"; object: ObjectRef | null; field: string; file: string; line: number; column: number; message: string; fix: string | null };

export type ServiceForm = { name: string; namespace: string; hosts: string[]; addresses: string[]; ports: ServicePort[]; resolution: string; location: string; exportTo: string[] };
export type TimeoutForm = { name: string; namespace: string; host: string; timeoutMs: number | null };
export type Draft = { kind: "ServiceEntry" | "VirtualService"; yaml: string; service: ServiceForm | null; timeout: TimeoutForm | null; formGap: string | null; sentence: string; resolutionWhy: string | null; file: string; findings: Finding[]; fault: Fault | null };

export type Edit =
  | { kind: "mode"; scope: string; mode: Mode }
  | { kind: "put"; object: "ServiceEntry" | "VirtualService"; namespace: string; name: string; yaml: string }
  | { kind: "delete"; object: "ServiceEntry" | "VirtualService"; namespace: string; name: string }
  | { kind: "ranges"; includeRanges: string; excludeRanges: string; includePorts: string; excludePorts: string };
export type StagedEdit = { id: number; edit: Edit; title: string; at: string };
export type DiffLine = { sign: " " | "+" | "-"; old: number | null; new: number | null; text: string };
export type DiffHunk = { header: string; lines: DiffLine[] };
export type FileDiff = { file: string; state: "changed" | "added" | "deleted"; hunks: DiffHunk[]; command: string };
export type ImpactRow = { workload: string; destination: string; flows: number; before: Verdict; after: Verdict; beforeWhy: string; afterWhy: string; host: string | null; port: number };
export type Impact = { seen: number; undecidable: number; newlyBlocked: ImpactRow[]; newlyAllowed: ImpactRow[]; changed: ImpactRow[]; same: number };
export type Conflict = { file: string; base: string; mine: string; theirs: string };
export type Review = { edits: StagedEdit[]; diffs: FileDiff[]; impact: Impact; findings: Finding[]; conflicts: Conflict[]; warnings: string[]; applicable: boolean; blockedBecause: string | null };
export type JournalEntry = { id: number; at: string; title: string; files: string[]; undone: boolean; undoable: boolean; undoBlocked: string | null; diffs: FileDiff[]; impact: { newlyBlocked: number; newlyAllowed: number } };

export type Site = { host: string; address: string; ports: number[]; what: string };
export type SandboxState = { state: "stopped" | "starting" | "running" | "failed"; workload: string; step: string | null; policyHash: string | null; captured: string | null; explicitProxy: string | null; admin: string | null; pid: number | null; memoryKb: number | null; connections: number | null; since: string | null; fault: Fault | null; way: "namespace" | "proxy"; editToEffectMs: number | null; sites: Site[] };
export type RequestResult = { command: string; status: number | null; exit: number; tookMs: number; verdict: Verdict | null; flowId: number | null; siteSaw: [string, string][]; responseHeaders: [string, string][]; body: string; stderr: string };
export type CommandEvent = { id: number; stream: "stdout" | "stderr" | "exit"; text: string; code: number | null };
export type Workload = { name: string; labels: [string, string][] };

export type Flow = { id: number; time: string; verdict: Verdict; workload: string; source: string; destination: string; host: string | null; sni: string | null; name: string; port: number; protocol: string; method: string | null; path: string | null; status: number; flags: string; details: string; bytesSent: number; bytesReceived: number; durationMs: number; cluster: string | null; route: string | null; upstream: string | null; requestId: string | null; policyHash: string };
export type Token = { name: string; value: string; meaning: string };
export type FlowDetails = { flow: Flow; line: string; tokens: Token[]; sentence: string; similar: number };
export type Step = { step: string; outcome: string; object: ObjectRef | null; excerpt: { line: number; text: string; lit: boolean }[] };
export type Why = { verdict: Verdict; sentence: string; steps: Step[]; otherwise: string | null; decidedBy: string };
export type LogQuery = { text: string; verdicts: Verdict[]; workloads: string[]; hosts: string[]; statuses: number[]; flags: string[] };
export type Facet = { field: "verdict" | "workload" | "host" | "status" | "flags"; values: { value: string; count: number }[] };
export type LogPage = { rows: Flow[]; matched: number; kept: number; total: number; dropped: number; firstId: number; lastId: number; facets: Facet[]; lagMs: number; perSecond: number[] };
export type DestinationRow = { name: string; port: number; protocol: string; verdict: Verdict; workloads: string[]; requests: number; bytes: number; p95Ms: number; lastSeen: string; rule: ObjectRef | null; evidence: string };
