/** Words of Review and Changes. */
import type { Edit, Holds, JournalEntry, OwnersWay } from "../bridge/bindings";

export const editMark = (edit: Edit) =>
  edit.kind === "delete" || (edit.kind === "restore" && edit.text === null) ? "−" : edit.kind === "put" ? "+" : "~";
export const editObject = (edit: Edit) =>
  edit.kind === "mode"
    ? `outboundTrafficPolicy, ${edit.scope}`
    : edit.kind === "ranges"
      ? `values.global.proxy${edit.revision ? ` of revision ${edit.revision}` : ""}`
      : edit.kind === "capture"
        ? `annotations of ${edit.namespace}/${edit.name}`
        : edit.kind === "accessLog"
          ? `access log of ${edit.scope}`
          : edit.kind === "restore"
            ? edit.file
            : `${edit.object} ${edit.namespace}/${edit.name}`;

export const order = "All edits are written together. If one file cannot be written, the ones before it are put back.";
export const emptyTitle = "The change set is empty";
export const emptyText =
  "Edits made in Policy, Rehearse or Destinations gather here. Nothing reaches a file before it is applied.";

export const mend = "Fix it";

export const ownersWay = "The owner's own way";
export const managed = (owner: OwnersWay) => `${owner.file} is managed by ${owner.tool}.`;
export const past = (owner: OwnersWay) => `What becomes of a change past it: ${owner.effect}.`;
export const copyWay = "Copy";
export const inShell = (owned: boolean) => (owned ? "Past the owner, in a shell" : "Same thing in a shell");

export const conflictTitle = "Somebody else changed it while you edited. Nothing was applied.";
export const theirs = (by: string | null) => (by === null ? "As it is now" : `As it is now, by ${by}`);

export const revertedBy = "taken back by itself: nobody kept it in time";
export const keptTitle = "Not taken back";
export const keptText = (files: string[]) =>
  `${files.join(", ")}: another hand changed it while the change waited to be kept, so that it was left as it is.`;

export const noJournal = "Nothing has been applied yet";
export const noJournalText = "Each applied change set is kept here with its diff, and can be undone.";
export const journalKept = "the journal is kept on this computer";

/** A note: something that was done, and wrote no object's text. */
export const isNote = (entry: JournalEntry) => entry.files.length === 0 && entry.notes.length > 0;

export const outcome = (entry: JournalEntry) => {
  if (entry.cutShort) return "cut short";
  if (entry.reverted) return `taken back by itself${entry.kept.length ? `, but for ${entry.kept.length}` : ""}`;
  if (entry.undone) return "undone";
  const { newlyBlocked, newlyAllowed } = entry.impact;
  const counts = [newlyBlocked ? `${newlyBlocked} blocked` : "", newlyAllowed ? `${newlyAllowed} allowed` : ""];
  return counts.filter(Boolean).join(", ") || "–";
};

export const cutShort = "cut short";
export const finish = "Finish it";
export const goBack = "Go back";
export const holds: Record<Holds, string> = {
  old: "what it was before",
  new: "the new version",
  other: "something else: another hand changed it",
};
export const foreign =
  "What another hand changed is not overwritten. Make each such object what it was or what it becomes; then this can be settled.";
export const tryIt = "Try it:";
export const tryAny = "Send a test request";
export const notedOnly = "Kept as a note: no object's text was written, so that there is nothing to undo.";

export const cleanUp = "Clean up…";
export const cleanUpTitle = "What Egret left here";
export const cleanUpText =
  "By the journal of this computer, and by Egret's mark on objects, wherever they were made. What you choose becomes one change set: reviewed, applied, and itself undoable.";
export const cleanUpStage = "Stage the way back";
export const sidecarRuns = "A sidecar of Egret runs beside it; stopping it takes it away";
export const nothingLeft = "Nothing: everything here is as it was before Egret.";
export const goes = (removes: boolean) => (removes ? "is removed" : "becomes what it was");
export const probesLeft = "Probes stand for themselves: they go at once.";
