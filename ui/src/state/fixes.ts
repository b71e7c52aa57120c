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

const named = ({ code, kind, namespace, name, field }: FixKey) => JSON.stringify([code, kind, namespace, name, field]);

/** The fixes that wait in the change set, to be looked up: there may be as many of them as findings. */
export const stagedFixes = (edits: Edit[]): Set<string> =>
  new Set(
    edits.flatMap((edit) =>
      edit.kind === "fix"
        ? edit.fixes.map(({ code, field }) =>
            named({ code, kind: edit.object, namespace: edit.namespace, name: edit.name, field }),
          )
        : [],
    ),
  );

/** Whether a fix of the finding waits in the change set. */
export const isStaged = (finding: Finding, fixes: Set<string>) => keyOf(finding).some((key) => fixes.has(named(key)));

/** Whether the fix of the finding can be staged, and is not. */
export const isOpen = (finding: Finding, fixes: Set<string>) =>
  finding.offer !== null && finding.offer.blockedBecause === null && !isStaged(finding, fixes);

export async function stageFixes(findings: Finding[]): Promise<void> {
  const edits = await attempt(() => calls.stageFixes(findings.flatMap(keyOf)));
  if (edits === null) return;
  staged.put(edits);
  toasts.say(words.fixedToast(findings.length), { label: reviewLabel, run: () => navigation.go("review") });
}
