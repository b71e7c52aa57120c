/** What jsdom lacks and the screens use; after each case the shared state is as at the start. */
import "@testing-library/jest-dom/vitest";
import { cleanup, configure } from "@testing-library/svelte";
import { afterEach } from "vitest";
import { deliver, delivery } from "./state/delivery.svelte";
import { deploy, deployedFlows, deployLeft, deployment } from "./state/deploy.svelte";
import { discarded } from "./state/discarded.svelte";
import { forgetDrafts } from "./state/drafts";
import { navigation } from "./state/navigation.svelte";
import { probes } from "./state/probe.svelte";
import { forgetAll } from "./state/store.svelte";
import { testConsole } from "./state/console.svelte";
import { toasts } from "./state/toasts.svelte";

// A limit for what never comes, not a measurement.
configure({ asyncUtilTimeout: 15_000 });

class NoObserver {
  observe() {}
  unobserve() {}
  disconnect() {}
}
globalThis.ResizeObserver ??= NoObserver;
globalThis.matchMedia ??= ((query: string) => ({
  matches: false,
  media: query,
  addEventListener() {},
  removeEventListener() {},
})) as unknown as typeof globalThis.matchMedia;
// CodeMirror measures text; jsdom has no layout, so every range is empty.
Range.prototype.getClientRects ??= () => [] as unknown as DOMRectList;
Range.prototype.getBoundingClientRect ??= () => new DOMRect();

afterEach(() => {
  cleanup();
  forgetAll();
  for (const query of [delivery, deployment, deployLeft, deployedFlows, probes]) query.forget();
  deploy.reset();
  deliver.reset();
  navigation.reset();
  discarded.forget();
  forgetDrafts();
  testConsole.clear();
  toasts.list = [];
});
