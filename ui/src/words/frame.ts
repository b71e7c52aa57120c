/** Words of the frame: rail, source bar, status bar, palette and key sheet. */
import type { Fault } from "../bridge/bindings";
import { asFault } from "../bridge/channel";
import type { Screen } from "../state/navigation.svelte";
import type { IconName } from "../parts/shapes";
import { plural } from "./format";

export const moreFailures = (count: number) => plural(count, "more failure");

export const screenTitle: Record<Screen, string> = {
  overview: "Overview",
  destinations: "Destinations",
  policy: "Policy",
  rehearse: "Rehearse",
  changes: "Changes",
  sandbox: "Sandbox",
  checks: "Checks",
  review: "Review",
  why: "Why?",
};

export const railIcon: Record<string, IconName> = {
  overview: "layout-dashboard",
  destinations: "globe",
  policy: "shield",
  rehearse: "history",
  changes: "git-commit-horizontal",
  sandbox: "flask-conical",
};

export const keys: { title: string; rows: [string[], string][] }[] = [
  {
    title: "Everywhere",
    rows: [
      [["Ctrl", "K"], "Find or run"],
      [["Ctrl", "1 … 6"], "Screens"],
      [["Ctrl", "L"], "New log window"],
      [["Ctrl", "⇧", "N"], "Another source in a new window"],
      [["Ctrl", "Z"], "Undo the newest action"],
      [["Ctrl", "⇧", "⏎"], "Review the change set"],
      [["Ctrl", "⏎"], "Apply in Review, send in Sandbox"],
      [["Ctrl", "N"], "New service or timeout in Policy"],
      [["Esc"], "Close the top layer"],
      [["F6"], "Next pane"],
      [["?"], "This sheet"],
    ],
  },
  {
    title: "Lists",
    rows: [
      [["/"], "Find in this list"],
      [["j", "k"], "Move; arrows do the same"],
      [["⏎"], "Open the row"],
      [["Space"], "In a log: pause or follow"],
      [["End"], "In a log: follow the newest"],
    ],
  },
  {
    title: "On a row",
    rows: [
      [["W"], "Why?"],
      [["A"], "Allow…"],
      [["T"], "Test in the sandbox"],
    ],
  },
];

/** A part of a window that failed while it was drawn. */
export const cannotDraw = (error: unknown): Fault => ({
  code: "draw",
  message: `This part of the window cannot be drawn: ${asFault(error).message}`,
  hint: "That is a fault of Egret: please report it with this message. Nothing is lost, and the rest goes on.",
  at: null,
});
