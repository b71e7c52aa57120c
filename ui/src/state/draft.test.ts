import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Draft, Edit } from "../bridge/bindings";
import * as example from "../bridge/example";
import { record, type Answer } from "../bridge/recording";
import { DraftEditor, nameFor } from "./draft.svelte";

function channel(answers: Record<string, Answer>) {
  const app = record();
  Object.assign(app.answers, answers);
  return app;
}

const google = { kind: "ServiceEntry" as const, object: { namespace: "default", name: "google" }, flowId: null };

describe("a draft", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("asks the app once for a burst of typing, with the newest form and the YAML it came from", async () => {
    const app = channel({});
    const editor = new DraftEditor(google);
    await editor.open();
    for (const host of ["a", "a.e", "a.example"]) {
      if (editor.service) editor.service.hosts = [host];
      editor.formChanged();
    }
    await vi.advanceTimersByTimeAsync(500);
    const asked = app.asked("draft_from_service");
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ form: { hosts: ["a.example"] }, yaml: example.serviceYaml });
  });

  it("never overwrites what is typed with the answer to older typing", async () => {
    const answers: ((draft: Draft) => void)[] = [];
    channel({ draft_from_yaml: () => new Promise<Draft>((resolve) => answers.push(resolve)) });
    const editor = new DraftEditor(google);
    await editor.open();
    editor.yamlChanged("first");
    await vi.advanceTimersByTimeAsync(200);
    editor.yamlChanged("second");
    answers[0]?.({ ...example.serviceDraft, yaml: "first", sentence: "stale" });
    await vi.advanceTimersByTimeAsync(50);
    expect(editor.yaml).toBe("second");
    expect(editor.draft?.sentence).not.toBe("stale");
  });

  it("waits for an answer under way before it stages, so that form and YAML say the same", async () => {
    const staged: Edit[] = [];
    let answer: (draft: Draft) => void = () => undefined;
    channel({
      draft_from_service: () => new Promise<Draft>((resolve) => (answer = resolve)),
      stage: ({ edit }) => {
        staged.push(edit as Edit);
        return [];
      },
    });
    const editor = new DraftEditor(google);
    await editor.open();
    if (editor.service) editor.service.hosts = ["a.example"];
    editor.formChanged();
    await vi.advanceTimersByTimeAsync(200);
    const saving = editor.save();
    await vi.advanceTimersByTimeAsync(200);
    expect(staged).toEqual([]);
    answer({ ...example.serviceDraft, yaml: "new" });
    await saving;
    expect(staged).toMatchObject([{ yaml: "new" }]);
  });

  it("stages what was typed last, also when it has not been asked about yet", async () => {
    const staged: Edit[] = [];
    channel({
      draft_from_yaml: ({ yaml }) => ({ ...example.serviceDraft, yaml }),
      stage: ({ edit }) => {
        staged.push(edit as Edit);
        return [{ id: 1, edit, title: "x", at: "2026-11-23T14:00:00Z" }];
      },
    });
    const editor = new DraftEditor(google);
    await editor.open();
    editor.yamlChanged("newest");
    expect(await editor.save()).toBe(true);
    expect(staged).toEqual([
      { kind: "put", object: "ServiceEntry", namespace: "default", name: "google", yaml: "newest" },
    ]);
    expect(editor.dirty).toBe(false);
  });

  it("is staged with the file that it was opened from, whatever the answers to typing say", async () => {
    channel({
      draft_open: () => ({ ...example.serviceDraft, base: "as opened" }),
      draft_from_yaml: ({ yaml }) => ({ ...example.serviceDraft, yaml, base: null }),
    });
    const editor = new DraftEditor(google);
    await editor.open();
    editor.yamlChanged("newest");
    await vi.advanceTimersByTimeAsync(200);
    expect(editor.edit()).toMatchObject({ yaml: "newest", base: "as opened" });
    if (editor.service) editor.service.name = "another";
    expect(editor.edit()).toMatchObject({ name: "another" });
    expect(editor.edit()).not.toHaveProperty("base");
  });

  it("cannot be staged while the YAML does not parse", async () => {
    channel({
      draft_from_yaml: ({ yaml }) => ({
        ...example.serviceDraft,
        yaml,
        service: null,
        fault: { code: "yaml", message: "mapping expected", hint: null, at: null },
      }),
    });
    const editor = new DraftEditor(google);
    await editor.open();
    editor.yamlChanged("spec: [");
    await vi.advanceTimersByTimeAsync(200);
    expect(editor.edit()).toBeNull();
    expect(await editor.save()).toBe(false);
    expect(editor.yaml).toBe("spec: [");
  });

  it("follows a derived resolution and keeps a chosen one", async () => {
    channel({
      draft_from_service: ({ form }) => ({
        ...example.serviceDraft,
        service: { ...(form as object), resolution: "DYNAMIC_DNS" },
      }),
    });
    const editor = new DraftEditor({ kind: "ServiceEntry", object: null, flowId: null });
    await editor.open();
    editor.formChanged();
    await vi.advanceTimersByTimeAsync(200);
    expect(editor.service?.resolution).toBe("DYNAMIC_DNS");
    editor.resolutionChosen = true;
    if (editor.service) editor.service.resolution = "NONE";
    editor.formChanged();
    await vi.advanceTimersByTimeAsync(200);
    expect(editor.service?.resolution).toBe("NONE");
  });

  it("finds the name of a document that the form cannot show", async () => {
    channel({
      draft_new: () => ({
        ...example.serviceDraft,
        service: null,
        formGap: "it has endpoints",
        yaml: "kind: ServiceEntry\nmetadata:\n  labels:\n    name: not-this\n  name: db\n  namespace: shop\n",
      }),
    });
    const editor = new DraftEditor({ kind: "ServiceEntry", object: null, flowId: null });
    await editor.open();
    expect(editor.edit()).toMatchObject({ namespace: "shop", name: "db" });
  });

  it("names a new object after its host until a person gives a name", async () => {
    const blank = { ...example.serviceDraft.service, name: "", hosts: [] as string[] };
    channel({
      draft_new: () => ({ ...example.serviceDraft, service: blank }),
      draft_from_service: ({ form }) => ({ ...example.serviceDraft, service: form }),
    });
    const editor = new DraftEditor({ kind: "ServiceEntry", object: null, flowId: null });
    await editor.open();
    const type = (hosts: string[]) => {
      if (editor.service) editor.service.hosts = hosts;
      editor.formChanged();
    };
    type(["edition.cnn.com"]);
    expect(editor.service?.name).toBe("edition-cnn-com");
    editor.nameChosen = true;
    type(["other.example"]);
    expect(editor.service?.name).toBe("edition-cnn-com");
  });
});

it.each([
  ["*.wikipedia.org", "any-wikipedia-org"],
  ["API.Example.com", "api-example-com"],
  ["-.", ""],
])("makes of the host %s the name %j", (host, name) => expect(nameFor(host)).toBe(name));
