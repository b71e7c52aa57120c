/**
 * One draft, four views. Form and YAML change the same document: what is typed in one goes to the app, which answers
 * with the other (and keeps the comments). Diff and impact come from a preview of the draft. Answers to older typing
 * are dropped, and nothing typed is ever overwritten by an answer to it.
 */
import type { Draft, DraftKind, Edit, Fault, Finding, Review, ServiceForm, TimeoutForm } from "../bridge/bindings";
import * as calls from "../bridge/calls";
import { asFault } from "../bridge/channel";
import { stage } from "./actions";
import type { DraftTarget } from "./navigation.svelte";

const typingPause = 120;
const previewPause = 250;
/** Code of what an API server refuses. */
const refused = "REFUSED";

/** The fields that the forms have controls for. */
const fields: Record<DraftKind, string[]> = {
  ServiceEntry: ["spec.hosts", "spec.ports", "spec.resolution", "spec.addresses", "spec.exportTo"],
  VirtualService: ["spec.hosts", "spec.http.timeout"],
};
/** Of a new object also its name and namespace. */
const head = "metadata";
/** True for a field that is `path` or in it; a path without indices means every item. */
const isWithin = (field: string, path: string) =>
  [field, field.replace(/\[\d+\]/g, "")].some(
    (each) => each === path || each.startsWith(`${path}.`) || each.startsWith(`${path}[`),
  );

export class DraftEditor {
  draft = $state.raw<Draft | null>(null);
  service = $state<ServiceForm | null>(null);
  timeout = $state<TimeoutForm | null>(null);
  yaml = $state("");
  preview = $state.raw<Review | null>(null);
  previewFault = $state.raw<Fault | null>(null);
  fault = $state.raw<Fault | null>(null);
  dirty = $state(false);
  /** A person has typed in it since it was opened or staged: it outlives its pane. */
  touched = false;
  /** A resolution that the person chose is kept; one that was derived follows the hosts. */
  resolutionChosen = $state(false);

  /** The name of a new object follows its host until a person gives one. */
  nameChosen = true;
  /** A person has chosen a protocol: from then on none follows its port. */
  protocolChosen = false;

  /** The file that an object was opened from, and which one: what changed in it since is a conflict. */
  #opened: { base: string | null; namespace: string; name: string } | null = null;

  readonly target: DraftTarget;
  #turn = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #previewTimer: ReturnType<typeof setTimeout> | null = null;
  #pending: (() => Promise<void>) | null = null;
  /** The question under way. */
  #asking: Promise<void> = Promise.resolve();

  constructor(target: DraftTarget) {
    this.target = target;
    this.resolutionChosen = target.object !== null;
  }

  get isNew(): boolean {
    return this.target.object === null;
  }

  /** What is found in the draft, and what the place that it will be written to refuses of it. */
  get findings(): Finding[] {
    const named = this.#named();
    const isOwn = ({ code, object }: Finding) =>
      code === refused &&
      object?.kind === this.target.kind &&
      object.namespace === named?.namespace &&
      object.name === named.name;
    return [...(this.draft?.findings ?? []), ...(this.preview?.findings.filter(isOwn) ?? [])];
  }

  /** Those of a field and of what is in it. */
  at(path: string): Finding[] {
    return this.findings.filter(({ field }) => isWithin(field, path));
  }

  /** Those that no control of the form stands for. */
  get elsewhere(): Finding[] {
    const shown = this.isNew ? [...fields[this.target.kind], head] : fields[this.target.kind];
    return this.findings.filter(({ field }) => !shown.some((path) => isWithin(field, path)));
  }

  async open(): Promise<void> {
    const { kind, object, flowId } = this.target;
    const turn = ++this.#turn;
    try {
      const draft = object
        ? await calls.draftOpen(kind, object.namespace, object.name)
        : await calls.draftNew(kind, flowId);
      if (turn === this.#turn) this.#accept(draft, "open");
    } catch (error) {
      this.fault = asFault(error);
    }
    if (this.isNew) this.nameChosen = (this.service ?? this.timeout)?.name !== "";
    // A draft made from a flow is a change already; an opened object is not.
    this.dirty = this.isNew;
  }

  formChanged(): void {
    this.dirty = true;
    this.touched = true;
    if (!this.nameChosen) {
      if (this.service) this.service.name = nameFor(this.service.hosts[0] ?? "");
      if (this.timeout) this.timeout.name = nameFor(this.timeout.host);
    }
    const form = this.service ? $state.snapshot(this.service) : null;
    const timeout = this.timeout ? $state.snapshot(this.timeout) : null;
    this.#later(async () => {
      if (form) await this.#ask(() => calls.draftFromService(form, this.yaml || null), "form");
      else if (timeout) await this.#ask(() => calls.draftFromTimeout(timeout, this.yaml || null), "form");
    });
  }

  yamlChanged(text: string): void {
    if (text === this.yaml) return;
    this.dirty = true;
    this.touched = true;
    this.yaml = text;
    this.#later(() => this.#ask(() => calls.draftFromYaml(this.target.kind, text), "yaml"));
  }

  /** The edit that staging this draft would make; null while it cannot be written. */
  edit(): Edit | null {
    if (!this.draft || this.draft.fault) return null;
    const named = this.#named();
    if (!named?.name) return null;
    const { namespace, name } = named;
    // Under another name it is a new object.
    const same = this.#opened?.namespace === namespace && this.#opened.name === name;
    return put(this.target.kind, named, this.yaml, same ? (this.#opened?.base ?? null) : null);
  }

  #named(): { namespace: string; name: string } | null {
    return this.service ?? this.timeout ?? this.target.object ?? nameIn(this.yaml);
  }

  /** Stages the draft; resolves to true when it is in the change set. */
  async save(): Promise<boolean> {
    await this.#flush();
    const edit = this.edit();
    if (edit === null) return false;
    const done = await stage(edit);
    if (done) this.dirty = this.touched = false;
    return done;
  }

  close(): void {
    this.#turn += 1;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#previewTimer !== null) clearTimeout(this.#previewTimer);
  }

  #later(run: () => Promise<void>): void {
    this.#turn += 1;
    this.#pending = run;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#flush(), typingPause);
  }

  /** Asks what waits to be asked, and resolves when nothing is under way any more. */
  async #flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const run = this.#pending;
    this.#pending = null;
    if (run) this.#asking = run();
    await this.#asking;
  }

  async #ask(load: () => Promise<Draft>, from: "form" | "yaml"): Promise<void> {
    const turn = this.#turn;
    try {
      const draft = await load();
      if (turn === this.#turn) this.#accept(draft, from);
    } catch (error) {
      if (turn === this.#turn) this.fault = asFault(error);
    }
  }

  #accept(draft: Draft, from: "open" | "form" | "yaml"): void {
    this.draft = draft;
    this.fault = null;
    if (from !== "yaml") this.yaml = draft.yaml;
    if (from !== "form") {
      this.service = structuredClone(draft.service);
      this.timeout = structuredClone(draft.timeout);
    } else if (this.service && draft.service && !this.resolutionChosen) {
      this.service.resolution = draft.service.resolution;
    }
    const named = this.#named();
    if (from === "open" && named) this.#opened = { base: draft.base, namespace: named.namespace, name: named.name };
    this.#previewSoon();
  }

  #previewSoon(): void {
    if (this.#previewTimer !== null) clearTimeout(this.#previewTimer);
    this.#previewTimer = setTimeout(() => void this.#preview(), previewPause);
  }

  async #preview(): Promise<void> {
    const edit = this.edit();
    if (edit === null) {
      this.preview = null;
      return;
    }
    const turn = this.#turn;
    try {
      const preview = await calls.preview([edit]);
      if (turn !== this.#turn) return;
      this.preview = preview;
      this.previewFault = null;
    } catch (error) {
      if (turn === this.#turn) this.previewFault = asFault(error);
    }
  }
}

/** The edit that writes an object; `base` is the file that it was opened from, if it was. */
export function put(
  object: DraftKind,
  named: { namespace: string; name: string },
  yaml: string,
  base: string | null,
): Edit {
  const edit = { kind: "put" as const, object, namespace: named.namespace, name: named.name, yaml };
  return base === null ? edit : { ...edit, base };
}

/** A Kubernetes name for an object about a host: `*.wikipedia.org` becomes `any-wikipedia-org`. */
export function nameFor(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\*\./, "any.")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 63);
}

/** Namespace and name as written in a document that the form cannot show: the first level below `metadata`. */
function nameIn(yaml: string): { namespace: string; name: string } | null {
  const lines = yaml.split("\n");
  const start = lines.findIndex((line) => /^metadata:\s*$/.test(line));
  if (start < 0) return null;
  const below = lines.slice(start + 1).filter((line) => /\S/.test(line));
  const end = below.findIndex((line) => /^\S/.test(line));
  const block = end < 0 ? below : below.slice(0, end);
  const indent = /^\s*/.exec(block[0] ?? "")?.[0] ?? "";
  const read = (key: string) => {
    const line = block.find((each) => each.startsWith(`${indent}${key}:`));
    return line
      ?.slice(indent.length + key.length + 1)
      .trim()
      .replace(/^["']|["']$/g, "");
  };
  const name = read("name");
  return name ? { name, namespace: read("namespace") ?? "default" } : null;
}
