/** Words of the actions that several screens share. */
import type { Holds } from "../bridge/bindings";
import { plural } from "./format";

export const reviewLabel = "Review";
export const changesLabel = "Open in Changes";
export const nothingToUndo = "Nothing to undo: no edit is staged and no applied change can be taken back.";
export const undoLabel = "Undo";
export const edits = (count: number) => plural(count, "edit");
export const discardedToast = (count: number) => `Discarded ${edits(count)}.`;
export const restoredToast = (count: number) => `Staged again: ${edits(count)}.`;
export const undoKind = { staged: "Staged", applied: "Applied", discarded: "Discarded" } as const;
export const copied = "Copied.";
export const notCopied = "The clipboard refused the text. Select it and press Ctrl+C.";

export const otherWindow = (name: string) => `${name} is open in a window of its own.`;
export const stagedToast = (title: string, count: number) =>
  `Staged: ${title}. The change set has ${edits(count)}; nothing is written yet.`;
export const unstagedToast = (title: string) => `Taken out of the change set: ${title}.`;
export const undoneToast = (title: string, isNoted: boolean) =>
  `Undone: ${title}. ${isNoted ? "Changes says what is to be known of it." : "The files are as they were before."}`;
export const settledToast = (title: string, side: Holds) =>
  side === "new" ? `Finished: ${title}.` : `Gone back: ${title}. Everything is as it was before.`;
export const noFlow = (name: string, port: number) =>
  `No recorded flow to ${name}:${port} is kept any more. Send a test request and try again.`;
