/** Two policies side by side: what is pinned, what is compared with, and the rows of both. */
import type { Comparison, PolicyChoice } from "../bridge/bindings";
import * as calls from "../bridge/calls";
import { on } from "../bridge/events";
import { testConsole } from "./console.svelte";
import { navigation } from "./navigation.svelte";
import { Query } from "./query.svelte";
import { comparison } from "./store.svelte";
import { attempt } from "./toasts.svelte";

class Rows {
  /** Without those that would be the same. */
  onlyDifferent = $state(false);
  readonly page = new Query(() => calls.compared(this.onlyDifferent), 250);

  show(onlyDifferent: boolean): void {
    this.onlyDifferent = onlyDifferent;
    this.page.touch();
  }
}

export const rows = new Rows();

/** Keeps the rows up; returns the way to end it. */
export async function listen(): Promise<() => void> {
  const touch = () => rows.page.touch();
  const unlisten = await Promise.all([on("flows-added", touch), on("comparison-changed", touch)]);
  return () => unlisten.forEach((stop) => stop());
}

async function become(change: () => Promise<Comparison>): Promise<void> {
  const state = await attempt(change);
  if (state !== null) comparison.put(state);
}

export const pinPolicy = (policy: PolicyChoice) => become(() => calls.pinPolicy(policy));
/** Nothing is sent twice before a person says so, each time. */
export async function compareWith(policy: PolicyChoice): Promise<void> {
  testConsole.both = false;
  // What was compared with another policy says nothing of this one.
  rows.page.forget();
  await become(() => calls.compareWith(policy));
  rows.page.touch();
}
export const stopComparing = () => become(calls.stopComparing);

export async function unpinPolicy(): Promise<void> {
  if (navigation.sandboxPolicy === "pinned") navigation.sandboxPolicy = "source";
  await become(calls.unpinPolicy);
}
