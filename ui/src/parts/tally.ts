import type { FileDiff } from "../bridge/bindings";

/** How many lines diffs add and remove. */
export function tally(diffs: FileDiff[]): { added: number; removed: number } {
  const lines = diffs.flatMap((diff) => diff.hunks).flatMap((hunk) => hunk.lines);
  return {
    added: lines.filter((line) => line.sign === "+").length,
    removed: lines.filter((line) => line.sign === "-").length,
  };
}
