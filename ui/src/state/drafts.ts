/** The editors by what they edit. What is typed waits here, while another screen is open, to be staged or discarded. */
import { DraftEditor } from "./draft.svelte";
import type { DraftTarget } from "./navigation.svelte";

const editors = new Map<string, DraftEditor>();
const keyOf = (target: DraftTarget) => JSON.stringify(target);

/** The editor in which something was typed for this target, or a new one that opens it. */
export function editorFor(target: DraftTarget): DraftEditor {
  const kept = editors.get(keyOf(target));
  if (kept?.touched) return kept;
  const editor = new DraftEditor(target);
  editors.set(keyOf(target), editor);
  void editor.open();
  return editor;
}

/** Call when the editor is no longer shown. */
export function putAside(editor: DraftEditor): void {
  if (editor.touched) return;
  editor.close();
  if (editors.get(keyOf(editor.target)) === editor) editors.delete(keyOf(editor.target));
}

export function forgetDrafts(): void {
  for (const editor of editors.values()) editor.close();
  editors.clear();
}
