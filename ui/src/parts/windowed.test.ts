import { expect, it } from "vitest";
import { lines, withGaps, within } from "./windowed";

const heights = { title: 28, row: 45 };
const all = lines(
  Array.from({ length: 200 }, (_, group) => ({
    title: `group-${group}`,
    rows: Array.from({ length: 100 }, (_, row) => `${group}-${row}`),
  })),
  (row) => row,
  heights,
);

it("gives every line its place, without a gap", () => {
  expect(all).toHaveLength(200 * 101);
  for (const [index, line] of all.entries()) {
    const before = all[index - 1];
    expect(line.top).toBe(before ? before.top + before.height : 0);
  }
});

it.each([0, 27, 28, 29, 12_345, 450_000, 905_599, 5_000_000])(
  "draws all lines that are in sight at %d, and few others",
  (top) => {
    const drawn = within(all, top, 900, 10);
    const seen = all.filter((line) => line.top < top + 900 && line.top + line.height > top);
    for (const line of seen) expect(drawn).toContain(line);
    expect(drawn.length).toBeLessThan(900 / 28 + 23);
  },
);

it("draws nothing of nothing", () => {
  expect(within(lines([], String, heights), 0, 900, 10)).toEqual([]);
});

it("gives a row that comes twice a key of its own", () => {
  const keys = lines([{ title: "a", rows: ["x", "x", "y"] }], String, heights).map((line) => line.key);
  expect(new Set(keys).size).toBe(keys.length);
});

it("draws lines far from those in sight too, with the room between them", () => {
  const seen = within(all, 450_000, 900, 10);
  const drawn = withGaps(all, seen, [-1, 0, 1, 5, 20_000_000, all.indexOf(seen[3] as (typeof all)[0])]);
  expect(drawn.map(({ key }) => key)).toEqual([all[0], all[1], all[5], ...seen].map((line) => line?.key));
  let top = 0;
  for (const line of drawn) {
    expect(line.top).toBe(top + line.gap);
    top = line.top + line.height;
  }
});
