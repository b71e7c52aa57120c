/** Fixes of findings: what can be staged, what is, and the way there. */
import type { Edit, Finding, FixKey } from "../bridge/bindings";
import * as calls from "../bridge/calls";
import * as words from "../words/checks";
import { reviewLabel } from "../words/actions";
import { navigation } from "./navigation.svelte";
import { staged } from "./store.svelte";
import { attempt, toasts } from "./toasts.svelte";

const keyOf = ({ code, object, field }: Finding): FixKey[] =>
  object === null ? [] : [{ code, kind: object.kind, namespace: object.namespace, name: object.name, field }];

/** Whether a fix of the finding waits in the change set. */
export function isStaged(finding: Finding, edits: Edit[]): boolean {
  const { code, object, field } = finding;
  return edits.some(
    (edit) =>
      edit.kind === "fix" &&
      edit.object === object?.kind &&
      edit.namespace === object.namespace &&
      edit.name === object.name &&
      edit.fixes.some((fix) => fix.code === code && fix.field === field),
  );
}

/** Whether the fix of the finding can be staged, and is not. */
export const isOpen = (finding: Finding, edits: Edit[]) =>
  finding.offer !== null && finding.offer.blockedBecause === null && !isStaged(finding, edits);

export async function stageFixes(findings: Finding[]): Promise<void> {
  const edits = await attempt(() => calls.stageFixes(findings.flatMap(keyOf)));
  if (edits === null) return;
  staged.put(edits);
  toasts.say(words.fixedToast(findings.length), { label: reviewLabel, run: () => navigation.go("review") });
}
