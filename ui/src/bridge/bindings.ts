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
export type ClusterState = { 
/**
 * The kubeconfig that its context is of.
 */
file: string, version: string, production: boolean, insecure: boolean, editing: boolean, 
/**
 * What this person may do.
 */
rights: Array<Right>, 
/**
 * Why editing cannot be switched on.
 */
lockedBecause: string | null, 
/**
 * What cannot be read now; what was read last stays.
 */
lost: LostWatch | null, 
/**
 * What this person may not see, a sentence each: verdicts, modes and counts may be other ones than are shown.
 */
unseen: Array<string>, };
export type ContextRow = { name: string, server: string, user: string, insecure: boolean, plugin: string | null, current: boolean, production: boolean, 
/**
 * Namespaces that were named for it, to be looked at where not all may be.
 */
namespaces: Array<string>, 
/**
 * Its program must be allowed first.
 */
asks: boolean, 
/**
 * It is the open cluster's.
 */
open: boolean, 
/**
 * Another window has it.
 */
elsewhere: boolean, 
/**
 * It is open, and the file says something else of it now.
 */
changed: boolean, };
export type KubeconfigRow = { 
/**
 * Names it in commands.
 */
id: string, 
/**
 * Its file name; `null` for the default one.
 */
name: string | null, contexts: Array<ContextRow>, 
/**
 * Why it cannot be read.
 */
fault: Fault | null, };
export type PluginRow = { command: string, 
/**
 * Names of the variables that the kubeconfig sets for it.
 */
variables: Array<string>, };
export type Connecting = { file: string, context: string, step: string, };
export type Feature = "seePolicy" | "seeRevisions" | "seeOwnRanges" | "seeAccessLog" | "followLogs" | "writeServiceEntries" | "writeVirtualServices" | "writeSidecars" | "writeMesh" | "writeTelemetry" | "writeWorkloads" | "sendRequests" | "ephemeralContainers" | "deployProbe" | "restartWorkloads" | "seeSync" | "deploySidecar" | "attachSidecar" | "reachServices" | "seeEnvironment" | "seeSecrets";
export type Right = { feature: Feature, words: string, everywhere: boolean, 
/**
 * Else only in these.
 */
namespaces: Array<string>, 
/**
 * The API server did not say it of all namespaces.
 */
unsure: boolean, 
/**
 * What is missing, as in a Role.
 */
needs: string, 
/**
 * The only namespace that matters.
 */
namespace: string | null, };
export type RevisionRow = { name: string, versions: Array<string>, tags: Array<string>, };
export type ContextFacts = { kubernetes: string, revisions: Array<RevisionRow> | null, tagsSeen: boolean, sidecars: boolean | null, ambient: boolean | null, rights: Array<Right>, };
export type SourceState = { name: string, 
/**
 * Path of the folder, or address of the API server.
 */
path: string, cluster: ClusterState | null, files: number, objects: number, ignored: Array<IgnoredKind>, epoch: number, readAt: string, editable: boolean, errors: Array<Fault>, istio: IstioRelease, };
export type IstioRelease = { 
/**
 * `1.24`; several, with `and`, where revisions differ.
 */
version: string, 
/**
 * What the source itself says, in the same way.
 */
found: string, 
/**
 * Where `found` is known from.
 */
from: string, 
/**
 * Another one than `found` was chosen.
 */
chosen: boolean, 
/**
 * What can be chosen, the newest first; empty for a cluster.
 */
choices: Array<string>, };
export type InWindow = "this" | "new";
export type ModeScope = { scope: string, mode: Mode, written: Place | null, object: ObjectRef | null, };
export type VerdictCounts = { registered: number, passthrough: number, blocked: number, bypassed: number, };
export type Plane = "sidecar" | "ambient" | "nothing";
export type NamespaceRow = { namespace: string, 
/**
 * What sidecars in it meet.
 */
mode: Mode, inherited: boolean, writtenIn: string, 
/**
 * What carries the traffic of the namespace.
 */
plane: Plane, 
/**
 * Why it has no sidecars, where it has none.
 */
planeBecause: string | null, workloads: number, 
/**
 * Of these, the ones without a sidecar.
 */
withoutSidecar: number, counts: VerdictCounts, };
export type Health = "good" | "warn" | "bad" | "off";
export type DataSource = { name: string, state: Health, detail: string, };
export type NextAction = "startSandbox" | "openLog" | "allow" | "switchMode" | "review" | "fixFile" | "undo";
export type NextStep = { text: string, why: string, action: NextAction, argument: string | null, };
export type Overview = { sentence: string, modes: Array<ModeScope>, flows: VerdictCounts, destinations: VerdictCounts, services: Array<ServiceRow>, bypass: BypassView, namespaces: Array<NamespaceRow>, health: Array<DataSource>, next: NextStep, };
export type CaptureLists = { includeRanges: string, excludeRanges: string, includePorts: string, excludePorts: string, };
export type RunsWith = "older" | "olderProxy" | "current" | "none";
export type PodsRow = { kind: string, 
/**
 * `namespace/name`.
 */
workload: string, pods: number, 
/**
 * Of these, the ones with older rules or another version of the sidecar.
 */
stale: number, runsWith: RunsWith, 
/**
 * What the stale pods capture, else what all do; absent without a sidecar.
 */
has: CaptureLists | null, 
/**
 * What a new pod gets.
 */
gets: CaptureLists, 
/**
 * Versions of the sidecars that run, where a new pod gets another one.
 */
proxyHas: Array<string>, 
/**
 * The version that a new pod gets, where the injector says it.
 */
proxyGets: string | null, 
/**
 * The workload's own annotations decide, not the mesh's values.
 */
own: boolean, 
/**
 * The revision whose values a new pod gets, empty for the default one.
 */
revision: string, 
/**
 * When the oldest of the stale pods began, RFC 3339.
 */
since: string | null, 
/**
 * Egret can restart it.
 */
restarts: boolean, };
export type RestartStepState = { "state": "waiting" } | { "state": "rolling", new: number, all: number, } | { "state": "done" } | { "state": "failed", fault: Fault, } | { "state": "left" };
export type RestartRow = { workload: string, } & ({ "state": "waiting" } | { "state": "rolling", new: number, all: number, } | { "state": "done" } | { "state": "failed", fault: Fault, } | { "state": "left" });
export type RestartState = { steps: Array<RestartRow>, paused: boolean, running: boolean, };
export type PodsView = { workloads: Array<PodsRow>, restart: RestartState, };
export type SyncState = { 
/**
 * The change's number in the journal.
 */
entry: number, 
/**
 * Sidecars that are connected.
 */
total: number, 
/**
 * Of these, the ones that were sent something since.
 */
sent: number, 
/**
 * The ones that have not taken what was sent.
 */
behind: number, 
/**
 * Some of their names.
 */
names: Array<string>, 
/**
 * Nothing more is expected.
 */
done: boolean, 
/**
 * Why it cannot be known.
 */
fault: Fault | null, };
export type OwnRangeRow = { range: string, 
/**
 * `services`, `pods` or `nodes`.
 */
lives: string, 
/**
 * Where it was read.
 */
sources: Array<string>, 
/**
 * It is written down as this, not derived from what was seen.
 */
certain: boolean, };
export type OwnRangesView = { found: Array<OwnRangeRow>, 
/**
 * What could not be asked, with the reason.
 */
unread: Array<string>, };
export type WorkloadKey = { kind: string, 
/**
 * `namespace/name`.
 */
workload: string, };
export type Staged = "added" | "changed" | "deleted";
export type ServicePort = { number: number, name: string, protocol: string, targetPort: number | null, };
export type ServiceRow = { object: ObjectRef, hosts: Array<string>, addresses: Array<string>, ports: Array<ServicePort>, resolution: string, location: string, exportTo: Array<string>, timeoutMs: number | null, staged: Staged | null, };
export type TimeoutRow = { object: ObjectRef, host: string, routes: number, timeoutMs: number | null, staged: Staged | null, };
export type WorkloadOverrides = { workload: string, overrides: Array<string>, };
export type CaptureList = "includeRanges" | "excludeRanges" | "includePorts" | "excludePorts";
export type InjectorRow = { 
/**
 * Empty for the default one.
 */
revision: string, 
/**
 * Other names of it.
 */
tags: Array<string>, 
/**
 * Its ConfigMap; absent where there is none, and everything is captured.
 */
object: ObjectRef | null, written: Place | null, 
/**
 * Lists that cannot be set there.
 */
unsettable: Array<CaptureList>, 
/**
 * What is to be known before it is edited.
 */
note: string | null, 
/**
 * Workloads that it injects.
 */
workloads: number, includeRanges: string, excludeRanges: string, includePorts: string, excludePorts: string, };
export type BypassView = { 
/**
 * One a revision, the default one first; never empty.
 */
injectors: Array<InjectorRow>, 
/**
 * Workloads with annotations of their own.
 */
workloads: Array<WorkloadOverrides>, 
/**
 * What is not known of revisions.
 */
unknown: Array<string>, };
export type PolicyView = { modes: Array<ModeScope>, services: Array<ServiceRow>, timeouts: Array<TimeoutRow>, bypass: BypassView, findings: Array<Finding>, };
export type KubernetesServiceRow = { object: ObjectRef, 
/**
 * The name that sidecars know it by.
 */
host: string, addresses: Array<string>, ports: Array<ServicePort>, headless: boolean, 
/**
 * Another name that it stands for in DNS: it is no host of the registry.
 */
externalName: string | null, 
/**
 * Empty where the mesh's default holds.
 */
exportTo: Array<string>, };
export type DestinationRuleRow = { object: ObjectRef, host: string, exportTo: Array<string>, tlsMode: string | null, 
/**
 * TLS modes of single ports.
 */
portTlsModes: Array<[number, string]>, subsets: Array<string>, 
/**
 * The first of the services whose hosts it names.
 */
appliesTo: Array<ObjectRef>, 
/**
 * How many there are.
 */
appliesToAll: number, };
export type RegistryView = { services: Array<KubernetesServiceRow>, rules: Array<DestinationRuleRow>, };
export type GatewayServerRow = { port: number, protocol: string, tlsMode: string | null, hosts: Array<string>, line: number, };
export type GatewayRouteRow = { host: string, virtualService: ObjectRef, 
/**
 * Ports of the servers that take it; none where the Gateway does not listen for it.
 */
ports: Array<number>, 
/**
 * Sidecars are told to send it there.
 */
fromMesh: boolean, 
/**
 * Where the Gateway sends it; nowhere where no rule is for the Gateway.
 */
onward: Array<string>, };
export type GatewayRow = { object: ObjectRef, 
/**
 * Sidecars are told to send something there.
 */
egress: boolean, selector: Array<[string, string]>, servers: Array<GatewayServerRow>, 
/**
 * `namespace/name` of those whose pods serve it.
 */
workloads: Array<string>, 
/**
 * Services that lead to them.
 */
services: Array<ObjectRef>, routes: Array<GatewayRouteRow>, };
export type ObjectText = { object: ObjectRef, yaml: string, 
/**
 * DestinationRules for its hosts.
 */
rules: Array<DestinationRuleRow>, };
export type Level = "error" | "warning" | "info";
export type Finding = { code: string, level: Level, object: ObjectRef | null, field: string, file: string, line: number, column: number, message: string, fix: string | null, 
/**
 * The change that mends it, where one is sure.
 */
offer: FixOffer | null, };
export type FixOffer = { 
/**
 * In words.
 */
change: string, 
/**
 * The same by hand.
 */
command: string, 
/**
 * Why it cannot be made here.
 */
blockedBecause: string | null, };
export type DraftKind = "ServiceEntry" | "VirtualService";
export type ServiceForm = { name: string, namespace: string, hosts: Array<string>, addresses: Array<string>, ports: Array<ServicePort>, resolution: string, location: string, exportTo: Array<string>, };
export type TimeoutForm = { name: string, namespace: string, host: string, timeoutMs: number | null, };
export type Draft = { kind: DraftKind, yaml: string, service: ServiceForm | null, timeout: TimeoutForm | null, formGap: string | null, sentence: string, resolutionWhy: string | null, file: string, 
/**
 * The whole text of that file as it was when the object was opened; goes with the edit that is made of it.
 */
base: string | null, findings: Array<Finding>, fault: Fault | null, };
export type Edit = { "kind": "mode", scope: string, mode: Mode, } | { "kind": "put", object: DraftKind, namespace: string, name: string, yaml: string, 
/**
 * The file as it was when the object was opened: what changed since is a conflict. Absent for a new object.
 */
base?: string, } | { "kind": "delete", object: DraftKind, namespace: string, name: string, } | { "kind": "ranges", revision: string, includeRanges: string, excludeRanges: string, includePorts: string, excludePorts: string, } | { "kind": "capture", namespace: string, name: string, includeRanges: string | null, excludeRanges: string | null, includePorts: string | null, excludePorts: string | null, } | { "kind": "accessLog", scope: string, on: boolean, until: string | null, } | { "kind": "fix", object: string, namespace: string, name: string, fixes: Array<Fix>, } | { "kind": "restore", file: string, text: string | null, };
export type Fix = { 
/**
 * The finding's code, field and message.
 */
code: string, field: string, why: string, 
/**
 * The change in words.
 */
change: string, 
/**
 * JSON pointer of what is set.
 */
path: string, 
/**
 * What it becomes; absent where it is taken away.
 */
value: unknown, };
export type FixKey = { code: string, kind: string, namespace: string, name: string, field: string, };
export type StagedEdit = { id: number, edit: Edit, title: string, at: string, };
export type FileState = "changed" | "added" | "deleted";
export type Sign = " " | "+" | "-";
export type DiffLine = { sign: Sign, old: number | null, new: number | null, text: string, };
export type DiffHunk = { header: string, lines: Array<DiffLine>, };
export type FileDiff = { file: string, state: FileState, hunks: Array<DiffHunk>, command: string, };
export type ImpactRow = { workload: string, destination: string, flows: number, before: Verdict, after: Verdict, beforeWhy: string, afterWhy: string, host: string | null, port: number, };
export type Impact = { seen: number, undecidable: number, newlyBlocked: Array<ImpactRow>, newlyAllowed: Array<ImpactRow>, changed: Array<ImpactRow>, same: number, };
export type Conflict = { file: string, base: string, mine: string, theirs: string, 
/**
 * Who changed it last, and when, where the place knows.
 */
by: string | null, };
export type OwnersWay = { file: string, 
/**
 * Its name, with what of it manages the object.
 */
tool: string, 
/**
 * What becomes of a change that is made past it.
 */
effect: string, 
/**
 * What to do instead.
 */
advice: string, 
/**
 * What to run there, or to commit.
 */
text: string | null, };
export type Review = { edits: Array<StagedEdit>, diffs: Array<FileDiff>, impact: Impact, findings: Array<Finding>, conflicts: Array<Conflict>, 
/**
 * Who manages the objects, to be asked first.
 */
owners: Array<OwnersWay>, warnings: Array<string>, 
/**
 * A scope has another mode afterwards: that is what locks people out.
 */
changesMode: boolean, applicable: boolean, blockedBecause: string | null, 
/**
 * A Role as YAML that would let this person apply them, where permissions are missing.
 */
role: string | null, };
export type ImpactCounts = { newlyBlocked: number, newlyAllowed: number, };
export type CleanupRow = { file: string, 
/**
 * It goes; else it becomes what it was.
 */
removes: boolean, 
/**
 * What Egret did to it.
 */
because: Array<string>, 
/**
 * Why it cannot be taken back.
 */
keptBecause: string | null, };
export type Holds = "old" | "new" | "other";
export type FileStands = { file: string, holds: Holds, };
export type JournalEntry = { id: number, at: string, title: string, files: Array<string>, undone: boolean, 
/**
 * It was taken back by itself: nobody confirmed it in time.
 */
reverted: boolean, 
/**
 * Files that were left then: another hand had changed them.
 */
kept: Array<string>, 
/**
 * It waits to be confirmed.
 */
unconfirmed: boolean, undoable: boolean, undoBlocked: string | null, 
/**
 * URLs where a test request would meet what was changed.
 */
tries: Array<string>, 
/**
 * What was done, where no file was written: a restart, a probe. Else what is to be known of it.
 */
notes: Array<string>, 
/**
 * It was cut short: what each of its files holds now.
 */
cutShort: Array<FileStands> | null, diffs: Array<FileDiff>, impact: ImpactCounts, };
export type Afterwards = "revert" | "ask";
export type Countdown = { seconds: number, afterwards: Afterwards, };
export type Unconfirmed = { id: number, title: string, 
/**
 * The folder, or the cluster, where it was applied.
 */
place: string, 
/**
 * It was applied in the source that is open.
 */
here: boolean, 
/**
 * When it is taken back, milliseconds since 1970; absent where it waits for an answer.
 */
until: number | null, 
/**
 * Why it could not be taken back; it is tried again.
 */
fault: Fault | null, };
export type Keep = "mine" | "theirs";
export type PolicyChoice = "source" | "staged" | "pinned";
export type Takes = "nothing" | "variables" | "secrets";
export type Phase = "stopped" | "starting" | "running" | "failed";
export type Way = "namespace" | "proxy";
export type Site = { host: string, address: string, ports: Array<number>, what: string, };
export type Reach = { total: number, open: number, 
/**
 * Why the last one failed that did, unless one has succeeded since.
 */
fault: Fault | null, };
export type SandboxState = { state: Phase, workload: string, step: string | null, policyHash: string | null, captured: string | null, explicitProxy: string | null, admin: string | null, pid: number | null, memoryKb: number | null, connections: number | null, since: string | null, fault: Fault | null, way: Way, editToEffectMs: number | null, sites: Array<Site>, 
/**
 * The policy that it enforces.
 */
policy: PolicyChoice, 
/**
 * What of the workload its commands get.
 */
takes: Takes, 
/**
 * Variables that are taken over; their values are not told.
 */
variables: number, 
/**
 * Places where files of the workload are mounted.
 */
files: number, 
/**
 * What could not be, in words.
 */
leftOut: Array<string>, 
/**
 * Why what is staged now is not enforced.
 */
stagedFault: Fault | null, 
/**
 * The way to the cluster's Services, where a cluster is open.
 */
reach: Reach | null, };
export type Expectation = { 
/**
 * `None` where too little is known to decide.
 */
verdict: Verdict | null, 
/**
 * What should come of it, in a few words.
 */
outcome: string, 
/**
 * The engine's reason.
 */
reason: string, 
/**
 * How it came out otherwise, where it did.
 */
finding: ProbeFinding | null, };
export type ProbeFinding = { level: Level, message: string, 
/**
 * The likely reason, and what to do.
 */
hint: string, };
export type ProbeWays = { 
/**
 * The image with curl that is used.
 */
image: string, defaultImage: string, 
/**
 * Why no container can be added to its pod; `None` where one can.
 */
containerMissing: string | null, 
/**
 * Why no probe can be deployed to its namespace; `None` where one can.
 */
deploymentMissing: string | null, };
export type ProbeRow = { namespace: string, 
/**
 * As it is chosen to send from it.
 */
workload: string, 
/**
 * When it was made, RFC 3339, where known.
 */
since: string | null, };
export type ProbeStep = { 
/**
 * What is waited for; `None` when nothing is any more.
 */
step: string | null, };
export type SentBeside = { verdict: Verdict | null, status: number | null, exit: number, tookMs: number, 
/**
 * The log's line of the sidecar beside.
 */
line: string | null, };
export type RequestResult = { command: string, status: number | null, exit: number, tookMs: number, verdict: Verdict | null, flowId: number | null, siteSaw: Array<[string, string]>, responseHeaders: Array<[string, string]>, body: string, stderr: string, 
/**
 * The sidecar's own line of it.
 */
line: string | null, 
/**
 * What the client that sent it cannot tell.
 */
limits: string | null, expectation: Expectation, 
/**
 * The same sent through the sidecar beside, under the policy that is compared with.
 */
beside: SentBeside | null, 
/**
 * Why it was not sent there, where it should have been.
 */
besideFault: Fault | null, };
export type DeliveryWay = "kind" | "minikube" | "k3d" | "k3s" | "containerd" | "registry";
export type DeliveryChoice = { way: DeliveryWay, title: string, 
/**
 * Where it brings the image.
 */
text: string, 
/**
 * The same by hand.
 */
command: string, 
/**
 * Why it cannot be gone on this computer.
 */
refused: string | null, };
export type DeliveryPhase = "none" | "running" | "done" | "failed";
export type DeliveryState = { phase: DeliveryPhase, way: DeliveryWay | null, 
/**
 * What is being done.
 */
text: string, 
/**
 * Bytes that a registry has; both 0 where they are not counted.
 */
sent: number, total: number, 
/**
 * What the tool said.
 */
log: Array<string>, 
/**
 * The name by which pods find the image, once it is there.
 */
image: string | null, fault: Fault | null, };
export type DeployMode = "observe" | "enforce";
export type DeployPlace = "copy" | "workload" | "pod";
export type DeployWay = "capture" | "proxy";
export type DeployDns = "workload" | "on" | "off";
export type DeployOptions = { 
/**
 * Deployment, StatefulSet or DaemonSet.
 */
kind: string, 
/**
 * `namespace/name`.
 */
workload: string, mode: DeployMode, place: DeployPlace, way: DeployWay, dns: DeployDns, image: string, 
/**
 * With the edits that are staged.
 */
staged: boolean, };
export type CheckOutcome = "fine" | "warning" | "refused" | "unknown";
export type DeployCheck = { 
/**
 * What was looked at.
 */
title: string, outcome: CheckOutcome, 
/**
 * What was found.
 */
text: string, 
/**
 * What to do about it.
 */
advice: string | null, 
/**
 * A command to copy.
 */
command: string | null, };
export type DeployChecks = { checks: Array<DeployCheck>, 
/**
 * The objects that are made or changed, in words.
 */
adds: Array<string>, 
/**
 * Why it cannot be started; `None` where it can.
 */
refused: string | null, 
/**
 * How the image gets to the nodes; none where all of them have it.
 */
deliveries: Array<DeliveryChoice>, };
export type DeployStepState = "waiting" | "doing" | "done" | "failed";
export type DeployStep = { title: string, state: DeployStepState, 
/**
 * What is waited for, or what came of it.
 */
text: string, };
export type DeployPhase = "none" | "starting" | "running" | "stopping" | "failed";
export type DeployPod = { name: string, 
/**
 * Hash of the policy that it decides by; `None` while it is not connected.
 */
policyHash: string | null, generation: number | null, 
/**
 * Where it has the policy from: `mounted`, `pushed` or `kept`.
 */
source: string | null, 
/**
 * When it took it, RFC 3339.
 */
loaded: string | null, 
/**
 * Why it is not connected, or did not take the newest policy.
 */
fault: string | null, };
export type DeployState = { phase: DeployPhase, 
/**
 * The session's name in the cluster's labels.
 */
session: string | null, kind: string, 
/**
 * `namespace/name` of who the sidecar decides for.
 */
workload: string, 
/**
 * The workload whose pods have it: the copy, or the workload itself.
 */
standsIn: string, mode: DeployMode | null, place: DeployPlace | null, way: DeployWay | null, 
/**
 * With the edits that are staged.
 */
staged: boolean, steps: Array<DeployStep>, 
/**
 * What was done, with its time.
 */
log: Array<string>, pods: Array<DeployPod>, 
/**
 * Number of the newest policy, and when it was made.
 */
generation: number, policyAt: string | null, objects: number, 
/**
 * Flows that came from it, and those that it lost.
 */
flows: number, dropped: number, since: string | null, fault: Fault | null, 
/**
 * What became of the last one, once it was taken away.
 */
ended: string | null, };
export type DeployLeft = { session: string, namespace: string, 
/**
 * `KIND namespace/name`; empty where nothing says so.
 */
workload: string, since: string | null, objects: Array<string>, };
export type CommandStream = "stdout" | "stderr" | "exit";
export type CommandEvent = { id: number, stream: CommandStream, text: string, code: number | null, };
export type Workload = { name: string, 
/**
 * `Deployment`, `StatefulSet`, `DaemonSet` or `Pod`.
 */
kind: string, serviceAccount: string, labels: Array<[string, string]>, plane: Plane, 
/**
 * The revision whose injector its sidecar is from, empty for the default one.
 */
revision: string, };
export type Flow = { id: number, time: string, verdict: Verdict, 
/**
 * What policy would have said, where a sidecar only observes: it was let through all the same.
 */
would: Verdict | null, workload: string, source: string, destination: string, host: string | null, sni: string | null, 
/**
 * Host, else SNI, else the address.
 */
name: string, port: number, protocol: string, method: string | null, path: string | null, status: number, flags: string, details: string, bytesSent: number, bytesReceived: number, durationMs: number, cluster: string | null, route: string | null, upstream: string | null, requestId: string | null, policyHash: string, };
export type Pinned = { 
/**
 * The folder or cluster that it is of.
 */
source: string, 
/**
 * Staged changes that are in it.
 */
staged: number, objects: number, 
/**
 * When, RFC 3339.
 */
at: string, };
export type Comparison = { pinned: Pinned | null, 
/**
 * The policy that is compared with, where one is.
 */
with: PolicyChoice | null, 
/**
 * Its hash.
 */
policyHash: string | null, 
/**
 * Why what it says now is not compared with.
 */
fault: Fault | null, 
/**
 * The sidecar beside, which takes what a person sends through both.
 */
beside: Phase, 
/**
 * Why it does not run.
 */
besideFault: Fault | null, };
export type Through = "one" | "both";
export type Likeness = "same" | "different" | "unknown";
export type OtherWay = { 
/**
 * `None` where it depends on what nobody read.
 */
verdict: Verdict | null, 
/**
 * HTTP status, 0 for byte streams; `None` where it is not known.
 */
status: number | null, flags: string | null, cluster: string | null, likeness: Likeness, 
/**
 * Why it decides so.
 */
reason: string, 
/**
 * Why the policy in force does.
 */
reasonInForce: string, 
/**
 * What is different beside verdict and answer, or why that is not known.
 */
note: string | null, 
/**
 * It was sent there too, and not only decided.
 */
sent: boolean, };
export type ComparedRow = { flow: Flow, other: OtherWay, };
export type ComparedPage = { rows: Array<ComparedRow>, compared: number, different: number, unknown: number, };
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
chosen: Array<string>, unread: number, unreadBecause: string | null, 
/**
 * How often lines may be missing: no node had them any more, or the last ones did not come.
 */
gaps: number, 
/**
 * Pods whose log cannot be read.
 */
failing: number, 
/**
 * One of them, with the reason.
 */
failingBecause: string | null, 
/**
 * Why no log can be read, where none can.
 */
fault: Fault | null, };
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
 * Whose sidecars write about each flow twice, and why.
 */
twice: string | null, 
/**
 * Why it cannot be told, where it cannot.
 */
unknown: Fault | null, switchedOn: Array<SwitchedOn>, 
/**
 * Why one that is due could not be removed, where it could not.
 */
removal: Fault | null, };
export type LogSource = { follow: FollowView, accessLog: AccessLogView, };
