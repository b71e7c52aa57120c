/** The place that is open, a folder or a context of a cluster: what was chosen in it ends with it. */
import { untrack } from "svelte";
import type { SourceState } from "../bridge/bindings";
import { testConsole } from "./console.svelte";
import { deploy } from "./deploy.svelte";
import { discarded } from "./discarded.svelte";
import { forgetDrafts } from "./drafts";
import { navigation } from "./navigation.svelte";
import { probe } from "./probe.svelte";
import { destinations, newest, source } from "./store.svelte";

/** Two contexts may lead to one API server, and two kubeconfigs may have contexts of one name. */
export const placeOf = ({ path, name, cluster }: SourceState) => JSON.stringify([path, name, cluster?.file ?? null]);

/** How many places were left: what is typed on a screen is of the place that was open then. */
export const places = $state({ left: 0 });

function leave(): void {
  places.left += 1;
  navigation.leavesPlace();
  testConsole.leavesPlace();
  discarded.forget();
  forgetDrafts();
  for (const query of [newest, destinations]) {
    query.forget();
    query.touch();
  }
}

/**
 * Call while the window is made. What counts is what is open, not what is announced: a window may be made for a place
 * that nobody announces to it any more.
 */
export function followPlace(): void {
  const place = $derived(source.value && placeOf(source.value));
  let before: string | null = null;
  $effect(() => {
    if (place === null) return;
    untrack(() => {
      if (before !== null) leave();
      before = place;
      const isCluster = Boolean(source.value?.cluster);
      navigation.turnsToPlace();
      void deploy.turnsToPlace(isCluster);
      void probe.turnsToPlace(isCluster);
    });
  });
}
