/** Words of a change that has to be kept. */
import type { Countdown, JournalEntry, SyncState, Unconfirmed } from "../bridge/bindings";
import { count, plural } from "./format";

export const seconds: { value: number; label: string }[] = [
  { value: 60, label: "1 min" },
  { value: 120, label: "2 min" },
  { value: 300, label: "5 min" },
  { value: 900, label: "15 min" },
];
export const afterwards: { value: Countdown["afterwards"]; label: string }[] = [
  { value: "revert", label: "take it back" },
  { value: "ask", label: "ask at the next start" },
];

export function left(milliseconds: number): string {
  const all = Math.max(0, Math.ceil(milliseconds / 1000));
  return `${Math.floor(all / 60)}:${String(all % 60).padStart(2, "0")}`;
}

export const title = (change: Unconfirmed) =>
  change.here
    ? `${change.title}: applied, not confirmed yet`
    : `${change.title} in ${change.place}: applied, not confirmed`;
export const note = (until: number | null) =>
  until === null
    ? "Egret was closed before anybody kept it. Keep it, or take it back."
    : "Taken back by itself when the time is up, also when nobody looks.";
export const elsewhere = "Open that place to keep it or to take it back.";
export const notReverted = (reason: string) => `It could not be taken back: ${reason} It is tried again.`;

export const reverted = (entry: JournalEntry) =>
  entry.kept.length
    ? `Taken back by itself, but for ${entry.kept.join(", ")}, which another hand has changed since: ${entry.title}.`
    : `Taken back by itself, as nobody kept it in time: ${entry.title}.`;

export const have = (sync: SyncState) =>
  sync.fault
    ? "Unknown"
    : !sync.done && sync.sent === 0
      ? "Waiting"
      : `${count(sync.total - sync.behind)} of ${count(sync.total)}`;
export const haveNote = (sync: SyncState) =>
  sync.fault
    ? `who has it: ${sync.fault.message}`
    : !sync.done && sync.sent === 0
      ? "for istiod to send it"
      : sync.done && sync.sent === 0
        ? "sidecars in sync; none needed it"
        : sync.behind > 0
          ? `sidecars have it; not yet ${sync.names.join(", ")}`
          : `sidecars have it; ${plural(sync.sent, "was", "were")} sent something new`;

export const tryIt = "Test request";
