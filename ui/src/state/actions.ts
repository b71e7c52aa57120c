/** What a person can do from more than one place: stage, undo, apply, open a log window, allow a destination. */
import type {
  DestinationRow,
  Edit,
  Finding,
  Flow,
  Holds,
  InWindow,
  JournalEntry,
  StagedEdit,
} from "../bridge/bindings";
import * as calls from "../bridge/calls";
import { asFault } from "../bridge/channel";
import * as words from "../words/actions";
import { discarded } from "./discarded.svelte";
import { navigation } from "./navigation.svelte";
import { everything, journal, kubeconfigs, sandbox, source, staged, unconfirmed } from "./store.svelte";
import { attempt, toasts } from "./toasts.svelte";

export async function stage(edit: Edit): Promise<boolean> {
  const edits = await attempt(() => calls.stage(edit));
  if (edits === null) return false;
  staged.put(edits);
  toasts.say(words.stagedToast(edits.at(-1)?.title ?? "", edits.length), {
    label: words.reviewLabel,
    run: () => navigation.go("review"),
  });
  return true;
}

/** The way to where a finding of the change set is mended: the form of its object, or the tab that has its setting. */
export function mend({ object }: Finding): (() => void) | null {
  if (object === null) return null;
  const { kind, namespace, name } = object;
  if (kind === "ServiceEntry" || kind === "VirtualService")
    return () => navigation.openDraft({ kind, object: { namespace, name }, flowId: null });
  if (kind === "Sidecar" || (kind === "ConfigMap" && !name.startsWith("istio-sidecar-injector")))
    return () => navigation.openTab("mode");
  return kind === "Telemetry" ? null : () => navigation.openTab("bypass");
}

export async function unstage(id: number): Promise<boolean> {
  const edits = await attempt(() => calls.unstage(id));
  if (edits !== null) staged.put(edits);
  return edits !== null;
}

/** Stages the end of an access log that Egret switched on, and shows it. */
export async function removeAccessLog(scope: string): Promise<void> {
  const edits = await attempt(() => calls.stageAccessLog(scope, false, null));
  if (edits === null) return;
  staged.put(edits);
  navigation.go("review");
}

export async function discardAll(): Promise<void> {
  const edits = staged.value ?? [];
  if ((await attempt(calls.discardAll)) === null) return;
  staged.put([]);
  if (edits.length === 0) return;
  discarded.take(edits);
  toasts.say(words.discardedToast(edits.length), { label: words.undoLabel, run: () => void restoreDiscarded() });
}

/** Stages again what was discarded last; what cannot be staged can still be tried again. */
export async function restoreDiscarded(): Promise<void> {
  const count = discarded.edits.length;
  while (discarded.edits.length > 0) {
    const [next, ...rest] = discarded.edits;
    const edits = next && (await attempt(() => calls.stage(next.edit)));
    if (!edits) return;
    staged.put(edits);
    discarded.edits = rest;
  }
  if (count > 0) toasts.say(words.restoredToast(count));
}

/** The newest thing that can be taken back: a staged edit, an applied change or a discarded change set. */
export type Undoable = { title: string; at: string } & (
  { kind: "staged"; edit: StagedEdit } | { kind: "applied"; entry: JournalEntry } | { kind: "discarded" }
);

export function newestUndoable(edits: StagedEdit[], entries: JournalEntry[]): Undoable | null {
  const edit = edits.reduce<StagedEdit | null>((newest, each) => (newest && newest.id > each.id ? newest : each), null);
  const entry = entries
    .filter((each) => each.undoable && !each.undone)
    .reduce<JournalEntry | null>((newest, each) => (newest && newest.id > each.id ? newest : each), null);
  const { edits: lost, at } = discarded;
  const all: (Undoable | null)[] = [
    edit && { kind: "staged", edit, title: edit.title, at: edit.at },
    lost.length > 0 ? { kind: "discarded", title: words.edits(lost.length), at } : null,
    entry && { kind: "applied", entry, title: entry.title, at: entry.at },
  ];
  // Of one time the first.
  return all.reduce((newest, each) =>
    each && (!newest || Date.parse(each.at) > Date.parse(newest.at)) ? each : newest,
  );
}

export async function undoNewest(): Promise<void> {
  const target = newestUndoable(staged.value ?? [], journal.value ?? []);
  if (target === null) return toasts.say(words.nothingToUndo);
  if (target.kind === "discarded") return restoreDiscarded();
  if (target.kind === "staged") {
    if (await unstage(target.edit.id)) toasts.say(words.unstagedToast(target.title));
    return;
  }
  await undoApplied(target.entry.id, target.entry.title);
}

export async function undoApplied(id: number, title: string): Promise<void> {
  const entry = await attempt(() => calls.undo(id));
  if (entry === null) return;
  toasts.say(words.undoneToast(title, entry.notes.length > 0), {
    label: words.changesLabel,
    run: () => navigation.go("changes"),
  });
  await journal.refresh();
}

/** Finishes a change that was cut short (new), or goes back (old). */
export async function settleChange(id: number, side: Holds, title: string): Promise<void> {
  if ((await attempt(() => calls.settleChange(id, side))) !== null) toasts.say(words.settledToast(title, side));
  await journal.refresh();
}

/** Stages the way back of what Egret left, and shows it. */
export async function cleanUp(files: string[]): Promise<void> {
  const edits = await attempt(() => calls.stageCleanup(files));
  if (edits === null) return;
  staged.put(edits);
  navigation.go("review");
}

export async function keepChange(id: number): Promise<void> {
  if ((await attempt(() => calls.keepChange(id))) === null)
    await Promise.all([journal.refresh(), unconfirmed.refresh()]);
}

export async function revertChange(id: number, title: string): Promise<void> {
  await undoApplied(id, title);
  await unconfirmed.refresh();
}

export async function openLog(): Promise<void> {
  await attempt(calls.openLogWindow);
}

export async function startSandbox(workload: string): Promise<void> {
  const state = await attempt(() => calls.sandboxStart(workload, navigation.sandboxPolicy, navigation.sandboxTakes));
  if (state !== null) sandbox.put(state);
}

export async function stopSandbox(): Promise<void> {
  const state = await attempt(calls.sandboxStop);
  if (state !== null) sandbox.put(state);
}

export async function restartSandbox(workload: string): Promise<void> {
  await stopSandbox();
  await startSandbox(workload);
}

export async function pickFolder(window: InWindow): Promise<void> {
  navigation.layer = null;
  const state = await attempt(() => calls.pickFolder(window));
  if (state !== null) source.put(state);
}

/** Connects, and closes the menu when that is done; what a person called off needs no notice. */
export async function openContext(file: string, name: string, window: InWindow): Promise<void> {
  try {
    const state = await calls.openContext(file, name, window);
    if (state !== null) source.put(state);
    else toasts.say(words.otherWindow(name));
    navigation.layer = null;
  } catch (error) {
    if (asFault(error).code !== "cancelled") toasts.fail(error);
  }
}

/** Decides as another release of Istio, or as the folder says. */
export async function decideFor(version: string | null): Promise<void> {
  const state = await attempt(() => calls.decideFor(version));
  if (state !== null) source.put(state);
}

export async function cancelConnecting(): Promise<void> {
  await attempt(calls.cancelConnecting);
}

export async function pickKubeconfig(): Promise<void> {
  const listed = await attempt(calls.pickKubeconfig);
  if (listed !== null) kubeconfigs.put(listed);
}

export async function forgetKubeconfig(file: string): Promise<void> {
  const listed = await attempt(() => calls.forgetKubeconfig(file));
  if (listed !== null) kubeconfigs.put(listed);
}

export async function nameNamespaces(file: string, name: string, namespaces: string[]): Promise<void> {
  const listed = await attempt(() => calls.nameNamespaces(file, name, namespaces));
  if (listed !== null) kubeconfigs.put(listed);
}

export async function setEditing(on: boolean): Promise<void> {
  const state = await attempt(() => calls.setEditing(on));
  if (state !== null) source.put(state);
}

/** The newest recorded flow to a destination; Why? and Allow… need one. */
export async function newestFlow(name: string, port: number): Promise<Flow | null> {
  const page = await attempt(() => calls.logPage({ ...everything, hosts: [name] }, null, 500));
  return page?.rows.findLast((flow) => flow.name === name && flow.port === port) ?? null;
}

export async function explain(row: Pick<DestinationRow, "name" | "port">): Promise<void> {
  const flow = await newestFlow(row.name, row.port);
  if (flow === null) return toasts.say(words.noFlow(row.name, row.port));
  navigation.openWhy(flow.id);
}

/** Opens the form of a timeout for a destination. */
export async function setTimeoutOf(row: Pick<DestinationRow, "name" | "port">): Promise<void> {
  const flow = await newestFlow(row.name, row.port);
  if (flow === null) return toasts.say(words.noFlow(row.name, row.port));
  navigation.openDraft({ kind: "VirtualService", object: null, flowId: flow.id });
}

export async function allow(row: Pick<DestinationRow, "name" | "port">): Promise<void> {
  const flow = await newestFlow(row.name, row.port);
  if (flow === null) return toasts.say(words.noFlow(row.name, row.port));
  allowFlow(flow.id);
}

export function allowFlow(flowId: number): void {
  navigation.openDraft({ kind: "ServiceEntry", object: null, flowId });
}

export function testUrl(row: Pick<DestinationRow, "name" | "port" | "protocol">): string {
  const secure = row.port === 443 || /tls|https/i.test(row.protocol);
  const scheme = secure ? "https" : /http/i.test(row.protocol) || row.port === 80 ? "http" : "tcp";
  const standard = (secure && row.port === 443) || (scheme === "http" && row.port === 80);
  return `${scheme}://${row.name}${standard ? "" : `:${row.port}`}/`;
}

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toasts.say(words.copied);
  } catch {
    toasts.say(words.notCopied);
  }
}
