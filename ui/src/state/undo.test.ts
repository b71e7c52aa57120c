/** What is taken back first, and what is staged again. */
import { beforeEach, expect, it, vi } from "vitest";
import { connect, staged } from "./store.svelte";
import type { Edit } from "../bridge/bindings";
import { record, type Recording } from "../bridge/recording";
import * as actions from "./actions";
import { toasts } from "./toasts.svelte";

let app: Recording;
let stop: () => void;

const mode = (scope: string): Edit => ({ kind: "mode", scope, mode: "REGISTRY_ONLY" });
const texts = () => toasts.list.map((toast) => toast.text).join(" ");

beforeEach(async () => {
  stop?.();
  app = record();
  stop = await connect();
  await actions.stage(mode("mesh"));
  await actions.stage(mode("namespace shop"));
  toasts.list = [];
});

it("stages again, in their order, the edits that were discarded", async () => {
  await actions.discardAll();
  expect(staged.value).toEqual([]);
  const notice = toasts.list.at(-1);
  expect(notice?.text).toBe("Discarded 2 edits.");
  notice?.action?.run();
  await vi.waitFor(() => expect(staged.value?.map(({ edit }) => edit)).toEqual([mode("mesh"), mode("namespace shop")]));
});

it("takes a discard back before any change that was applied earlier", async () => {
  await actions.discardAll();
  await actions.undoNewest();
  expect(staged.value).toHaveLength(2);
  expect(app.asked("undo")).toEqual([]);
});

it("can try again what could not be staged again", async () => {
  await actions.discardAll();
  app.answers.stage = () => {
    throw { code: "io", message: "no room", hint: null, at: null };
  };
  await actions.undoNewest();
  expect(texts()).not.toContain("Staged again");
  delete app.answers.stage;
  await actions.undoNewest();
  expect(staged.value).toHaveLength(2);
});

it("does not say that an edit was taken out which could not be", async () => {
  app.answers.unstage = () => {
    throw { code: "io", message: "no room", hint: null, at: null };
  };
  await actions.undoNewest();
  expect(texts()).toBe("no room");
});
