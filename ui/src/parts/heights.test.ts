import { expect, it } from "vitest";
import { Heights } from "./heights.svelte";
import { lines } from "./windowed";

it("takes the heights of rows as they were drawn, and tells how much those above grew", () => {
  const heights = new Heights(40);
  const all = () => lines([{ title: "", rows: ["a", "b", "c", "d"] }], String, { title: 0, row: heights.of });
  const box = document.createElement("div");
  for (const [key, height] of [
    ["row a", 60],
    ["row b", 0],
    ["row c", 50],
  ] as const) {
    const row = box.appendChild(document.createElement("p"));
    row.dataset.line = key;
    row.getBoundingClientRect = () => new DOMRect(0, 0, 100, height);
  }
  expect(heights.measure(box, all(), 80)).toBe(20);
  // Row b has no layout yet, and d was not drawn.
  expect(all().map(({ top }) => top)).toEqual([0, 0, 60, 100, 150]);
  expect(heights.measure(box, all(), 80)).toBe(0);
});
