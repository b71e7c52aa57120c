/**
 * Answers the app's commands in a plain browser and in component tests, from fixed example data.
 * It keeps just enough state for the screens to move (staged edits, sandbox on or off, journal) and decides nothing:
 * verdicts and diffs are example constants. `?empty` gives the state of a first start, `?cluster` an open cluster, `?theme=dark` forces
 * a theme.
 */
import type {
  Countdown,
  DeliveryState,
  DeliveryWay,
  DeployOptions,
  DeployState,
  Edit,
  FixKey,
  Flow,
  Holds,
  InWindow,
  LogQuery,
  PolicyChoice,
  ProbeRow,
  Review,
  SandboxState,
  StagedEdit,
  Takes,
  Through,
} from "./bindings";
import type { ObjectKind } from "./calls";
import type { Channel } from "./channel";
import * as example from "./example";
import { flowOf, pageOf } from "./standin-log";

/** Every argument any command takes; each command uses its own. */
interface Arguments {
  version: string | null;
  fixes: FixKey[];
  kind: ObjectKind;
  form: never;
  yaml: string;
  edit: Edit;
  edits: Edit[];
  id: number;
  side: Holds;
  name: string;
  file: string;
  files: string[];
  feature: string;
  namespace: string;
  namespaces: string[];
  on: boolean;
  scope: string;
  minutes: number | null;
  workloads: string[];
  workload: string;
  method: string;
  url: string;
  query: LogQuery;
  before: number | null;
  limit: number;
  countdown: Countdown | null;
  window: InWindow;
  options: DeployOptions;
  way: DeliveryWay;
  reference: string;
  staged: boolean;
  policy: PolicyChoice;
  takes: Takes;
  onlyDifferent: boolean;
  through: Through;
}

const noCounts = { registered: 0, passthrough: 0, blocked: 0, bypassed: 0 };

export function standin(options: { empty?: boolean } = {}): Channel {
  const search = new URLSearchParams(window.location.search);
  const theme = search.get("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  const empty = options.empty ?? search.has("empty");

  const handlers = new Map<string, Set<(payload: never) => void>>();
  const emit = (event: string, payload: unknown) => handlers.get(event)?.forEach((handle) => handle(payload as never));

  let nextId = 1;
  let chosen: string[] = [];
  const opened = search.has("cluster") ? example.clusterSource("kind-dev") : example.source;
  let source = empty ? { ...example.source, files: 0, objects: 0, ignored: [] } : opened;
  let kubeconfigs = example.kubeconfigs;
  let edits: StagedEdit[] = [];
  let journal = empty ? [] : example.journal;
  let comparison = example.notCompared;
  let sandbox: SandboxState = empty
    ? {
        ...example.sandbox,
        state: "stopped",
        policyHash: null,
        captured: null,
        explicitProxy: null,
        admin: null,
        pid: null,
        memoryKb: null,
        connections: null,
        since: null,
        editToEffectMs: null,
      }
    : example.sandbox;
  let flows: Flow[] = empty ? [] : example.flows;
  let probes: ProbeRow[] = [];
  let deployment: DeployState = example.noDeployment;
  const deploys = (next: DeployState) => {
    deployment = next;
    emit("deploy-changed", deployment);
    return deployment;
  };

  let delivery: DeliveryState = example.noDelivery;
  const delivers = (next: DeliveryState) => {
    delivery = next;
    emit("delivery-changed", delivery);
    return delivery;
  };

  const title = (edit: Edit) => {
    if (edit.kind === "mode") return `Mode ${edit.mode} for ${edit.scope}`;
    if (edit.kind === "capture") return `Own capture rules for ${edit.namespace}/${edit.name}`;
    if (edit.kind === "accessLog") return `Access log ${edit.on ? "on" : "off"} for ${edit.scope}`;
    if (edit.kind === "restore") return `Remove ${edit.file}`;
    if (edit.kind === "fix") return `Fix ${edit.fixes[0]?.code} in ${edit.object} ${edit.namespace}/${edit.name}`;
    if (edit.kind === "ranges") return `Bypass ranges ${edit.excludeRanges || "cleared"}`;
    return `${edit.kind === "put" ? "Write" : "Delete"} ${edit.object} ${edit.namespace}/${edit.name}`;
  };
  const setStaged = (next: StagedEdit[]) => {
    edits = next;
    emit("staged-changed", edits);
    return edits;
  };
  const reviewOf = (list: StagedEdit[]): Review => ({
    edits: list,
    diffs: list.length ? example.diffs : [],
    impact: list.length
      ? example.impact
      : { seen: 0, undecidable: 0, newlyBlocked: [], newlyAllowed: [], changed: [], same: 0 },
    findings: list.length ? example.findings.slice(0, 1) : [],
    conflicts: [],
    owners: [],
    warnings: [],
    role: null,
    changesMode: list.some(({ edit }) => edit.kind === "mode"),
    applicable: list.length > 0,
    blockedBecause: list.length ? null : "Nothing is staged.",
  });

  const commands: Record<string, (args: Arguments) => unknown> = {
    source_state: () => source,
    open_folder: ({ window }) => (window === "new" ? null : example.source),
    pick_folder: () => null,
    list_kubeconfigs: () => kubeconfigs,
    pick_kubeconfig: () => (kubeconfigs = [...example.kubeconfigs, example.pickedKubeconfig]),
    forget_kubeconfig: ({ file }) => (kubeconfigs = kubeconfigs.filter((each) => each.id !== file)),
    name_namespaces: ({ file, name, namespaces }) =>
      (kubeconfigs = kubeconfigs.map((each) => ({
        ...each,
        contexts: each.contexts.map((context) =>
          each.id === file && context.name === name ? { ...context, namespaces } : context,
        ),
      }))),
    plugin_to_allow: () => example.plugin,
    allow_plugin: () => {
      kubeconfigs = kubeconfigs.map((file) => ({
        ...file,
        contexts: file.contexts.map((context) => ({ ...context, asks: false })),
      }));
      return null;
    },
    open_context: ({ name, window }) => (window === "new" ? null : (source = example.clusterSource(name))),
    connecting: () => null,
    cancel_connecting: () => {
      emit("connecting-changed", null);
      return null;
    },
    context_facts: () => example.contextFacts,
    role_for: ({ feature, namespace }) =>
      `apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: ${feature}\n  namespace: ${namespace ?? ""}\n`,
    set_editing: ({ on }) =>
      (source = {
        ...source,
        editable: on,
        cluster: source.cluster && { ...source.cluster, editing: on },
      }),
    decide_for: ({ version }) => {
      const istio = { ...source.istio, version: version ?? source.istio.found, chosen: version !== null };
      source = { ...source, istio };
      emit("source-changed", source);
      return source;
    },
    overview: () =>
      empty
        ? {
            ...example.overview,
            sentence: "Nothing has left this mesh yet.",
            flows: noCounts,
            destinations: noCounts,
            services: [],
            namespaces: [],
            next: {
              text: "Start the sandbox",
              why: "No sidecar runs, so nothing can be seen.",
              action: "startSandbox",
              argument: null,
            },
          }
        : example.overview,
    policy_view: () =>
      empty
        ? {
            ...example.policy,
            services: [],
            timeouts: [],
            findings: [],
            bypass: {
              ...example.bypass,
              injectors: example.bypass.injectors.map((each) => ({ ...each, excludeRanges: "", excludePorts: "" })),
              workloads: [],
            },
          }
        : example.policy,
    registry: () => (empty ? { services: [], rules: [] } : example.registry),
    gateways: () => (empty ? [] : example.gateways),
    object_text: ({ kind, namespace, name }) => example.objectText(kind, namespace, name),
    destinations: () => (empty ? [] : example.destinations),
    draft_open: ({ kind }) => (kind === "ServiceEntry" ? example.serviceDraft : example.timeoutDraft),
    draft_new: ({ kind }) => (kind === "ServiceEntry" ? example.serviceDraft : example.timeoutDraft),
    draft_from_service: ({ form }) => ({ ...example.serviceDraft, service: form }),
    draft_from_timeout: ({ form }) => ({ ...example.timeoutDraft, timeout: form }),
    draft_from_yaml: ({ kind, yaml }) => ({
      ...(kind === "ServiceEntry" ? example.serviceDraft : example.timeoutDraft),
      yaml,
    }),
    stage: ({ edit }) =>
      setStaged([...edits, { id: nextId++, edit, title: title(edit), at: new Date().toISOString() }]),
    unstage: ({ id }) => setStaged(edits.filter((edit) => edit.id !== id)),
    staged: () => edits,
    discard_all: () => setStaged([]),
    review: () => reviewOf(edits),
    preview: ({ edits: list }) =>
      reviewOf(list.map((edit, index) => ({ id: index, edit, title: title(edit), at: "2026-11-23T14:00:00Z" }))),
    pods: () => null,
    own_ranges: () => null,
    sync_state: () => null,
    unconfirmed: () =>
      journal
        .filter((entry) => entry.unconfirmed)
        .map(({ id, title }) => ({
          id,
          title,
          place: example.source.path,
          here: true,
          until: Date.now() + 62_000,
          fault: null,
        })),
    keep_change: ({ id }) => {
      journal = journal.map((each) => (each.id === id ? { ...each, unconfirmed: false } : each));
      emit("journal-changed", null);
      return null;
    },
    apply: ({ countdown }) => {
      const entry = {
        id: journal.length + 1,
        at: new Date().toISOString(),
        title: edits.map((edit) => edit.title).join(", "),
        files: example.diffs.map((diff) => diff.file),
        undone: false,
        reverted: false,
        kept: [],
        unconfirmed: countdown !== null,
        undoable: true,
        undoBlocked: null,
        cutShort: null,
        notes: [],
        tries: ["https://api.stripe.com/"],
        diffs: example.diffs,
        impact: { newlyBlocked: 2, newlyAllowed: 1 },
      };
      journal = [entry, ...journal];
      setStaged([]);
      emit("journal-changed", null);
      return entry;
    },
    resolve_conflict: () => reviewOf(edits),
    journal: () => journal,
    leftovers: () =>
      journal
        .filter((each) => !each.undone && each.notes.length === 0)
        .flatMap((each) =>
          each.files.map((file) => ({ file, removes: false, because: [each.title], keptBecause: null })),
        ),
    stage_fixes: ({ fixes }) =>
      setStaged([
        ...edits,
        ...fixes.map((key) => {
          const { code, kind, namespace, name, field } = key;
          const found = example.findings.find((each) => each.code === code && each.field === field);
          const change = found?.offer?.change ?? "";
          const fix = { code, field, why: found?.message ?? "", change, path: "/spec", value: null };
          const edit: Edit = { kind: "fix", object: kind, namespace, name, fixes: [fix] };
          return { id: nextId++, edit, title: title(edit), at: new Date().toISOString() };
        }),
      ]),
    stage_cleanup: ({ files }) =>
      setStaged([
        ...edits,
        ...files.map((file, index) => ({
          id: edits.length + index + 1,
          edit: { kind: "restore" as const, file, text: null },
          title: `Remove ${file}`,
          at: new Date().toISOString(),
        })),
      ]),
    settle_change: ({ id, side }) => {
      const entry = journal.find((each) => each.id === id);
      if (!entry) throw { code: "journal", message: `Entry ${id} is gone.`, hint: null, at: null };
      journal = journal.map((each) => (each === entry ? { ...each, cutShort: null, undone: side === "old" } : each));
      emit("journal-changed", null);
      return entry;
    },
    undo: ({ id }) => {
      const entry = journal.find((each) => (id === null ? each.undoable && !each.undone : each.id === id));
      if (!entry) throw { code: "nothing-to-undo", message: "Nothing to undo.", hint: null, at: null };
      journal = journal.map((each) => (each === entry ? { ...each, undone: true, unconfirmed: false } : each));
      emit("journal-changed", null);
      return entry;
    },
    sandbox_state: () => sandbox,
    sandbox_start: ({ workload, policy, takes }) => {
      sandbox = { ...example.sandbox, workload, policy, takes };
      emit("sandbox-changed", sandbox);
      return sandbox;
    },
    sandbox_stop: () => {
      sandbox = { ...sandbox, state: "stopped", policyHash: null, since: null };
      emit("sandbox-changed", sandbox);
      return sandbox;
    },
    workloads: () => example.workloads,
    comparison: () => comparison,
    pin_policy: () => (comparison = { ...comparison, pinned: example.pinned }),
    unpin_policy: () => (comparison = { ...comparison, pinned: null }),
    compare_with: ({ policy }) => {
      comparison = { ...example.comparison, pinned: comparison.pinned, with: policy };
      emit("comparison-changed", null);
      return comparison;
    },
    stop_comparing: () => (comparison = { ...example.notCompared, pinned: comparison.pinned }),
    compared: ({ onlyDifferent }) => ({
      ...example.compared,
      rows: example.compared.rows.filter((row) => !onlyDifferent || row.other.likeness !== "same"),
    }),
    send_request: ({ method, url, through }) => ({
      command: `curl -sS -i -X ${method} ${url}`,
      status: 200,
      exit: 0,
      tookMs: 14,
      verdict: "passthrough",
      flowId: 1,
      siteSaw: [["host", "httpbin.org"]],
      responseHeaders: [["content-type", "application/json"]],
      body: '{"headers":{"Host":"httpbin.org"}}',
      stderr: "",
      line: example.logLine,
      limits: null,
      expectation: example.expectation,
      beside: through === "both" ? example.sentBeside : null,
      besideFault: null,
    }),
    run_command: () => {
      const id = nextId++;
      setTimeout(() => {
        emit("command-output", { id, stream: "stdout", text: "HTTP/1.1 200 OK\n", code: null });
        emit("command-output", { id, stream: "exit", text: "", code: 0 });
      });
      return id;
    },
    stop_command: () => null,
    probe_ways: () => example.probeWays,
    probe_image: () => null,
    probe_container: () => "sleep-6d4f",
    probe_deploy: ({ namespace }) => {
      probes = [example.probeIn(namespace)];
      return example.probeIn(namespace).workload;
    },
    probe_remove: () => {
      probes = [];
      return null;
    },
    probe_cancel: () => null,
    probes: () => probes,
    deploy_image: () => example.deployImage,
    deliver: ({ way, reference }) => delivers(example.delivered(way, reference)),
    deliver_cancel: () => null,
    deliver_state: () => delivery,
    deploy_checks: () => example.deployChecks,
    deploy_start: ({ options: { kind, workload, mode, place, way, staged } }) =>
      deploys({ ...example.deployed, kind, workload, mode, place, way, staged }),
    deploy_cancel: () => null,
    deploy_stop: () => deploys({ ...example.noDeployment, ended: "The copy and its policy are gone." }),
    deploy_state: () => deployment,
    deploy_staged: ({ staged }) => {
      deploys({ ...deployment, staged, generation: deployment.generation + 1 });
      return null;
    },
    deploy_left: () => [],
    deploy_remove: () => null,
    open_log_window: () => void window.open(`${window.location.pathname}${window.location.search}#/log`),
    log_page: ({ query, before, limit }) => pageOf(flows, query, before, limit),
    log_details: ({ id }) => example.detailsOf(flowOf(flows, id)),
    why: ({ id }) => example.whyOf(flowOf(flows, id)),
    log_source: () =>
      source.cluster ? { ...example.logSource, follow: { ...example.logSource.follow, chosen } } : null,
    follow_workloads: ({ workloads }) => {
      chosen = workloads;
      emit("logs-changed", null);
      return null;
    },
    stage_access_log: ({ scope, on, minutes }) => {
      const until = on && minutes !== null ? new Date(Date.now() + minutes * 60_000).toISOString() : null;
      const edit: Edit = { kind: "accessLog", scope, on, until };
      return setStaged([...edits, { id: nextId++, edit, title: title(edit), at: new Date().toISOString() }]);
    },
    clear_log: () => {
      flows = [];
      emit("flows-added", { lastId: 0, added: 0, dropped: 0 });
      return null;
    },
    allow_from_log: () => null,
    show_main: () => null,
  };

  return {
    call: async (command, args = {}) => {
      const answer = commands[command];
      if (!answer) throw { code: "unknown-command", message: `The stand-in has no ${command}.`, hint: null, at: null };
      return answer(args as unknown as Arguments) as never;
    },
    listen: async (event, handler) => {
      const set = handlers.get(event) ?? new Set();
      handlers.set(event, set.add(handler as (payload: never) => void));
      return () => set.delete(handler as (payload: never) => void);
    },
  };
}
