/** What this person may do in the open cluster, as the app found it. */
import type { Feature, Right } from "../bridge/bindings";
import { needs } from "../words/rights";
import { source } from "./store.svelte";

/** Why a feature cannot be used in a namespace, or anywhere; null where it can, or where nobody knows. */
export function lacks(
  feature: Feature,
  namespace: string | null = null,
  rights: Right[] = source.value?.cluster?.rights ?? [],
): string | null {
  const right = rights.find((each) => each.feature === feature);
  if (!right || right.everywhere || right.unsure) return null;
  const here = namespace === null ? right.namespaces.length > 0 : right.namespaces.includes(namespace);
  return here ? null : needs(right, namespace);
}
