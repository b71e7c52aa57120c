import { expect, it } from "vitest";
import { toasts } from "./toasts.svelte";

const texts = () => toasts.list.map((toast) => toast.text);

it("keep a failure until it is dismissed, however many notices come after it", () => {
  toasts.fail({ code: "io", message: "no room", hint: null, at: null });
  for (const text of ["one", "two", "three", "four"]) toasts.say(text);
  expect(texts()).toEqual(["no room", "three", "four"]);
});

it("lose no failure that nobody has read, however many come after it", () => {
  for (let each = 1; each <= 5; each += 1)
    toasts.fail({ code: "io", message: `failure ${each}`, hint: null, at: null });
  for (const text of ["one", "two"]) toasts.say(text);
  expect(texts()).toEqual(["failure 1", "failure 2", "failure 3", "failure 4", "failure 5", "two"]);
});
