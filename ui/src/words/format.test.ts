import { expect, it } from "vitest";
import { age, bytes, clock, count, duration, place, plural } from "./format";

it.each([
  [0, "0 B"],
  [999, "999 B"],
  [4096, "4.1 kB"],
  [88_100_000, "88.1 MB"],
  [640_000_000_000, "640 GB"],
])("prints %d bytes as %s", (value, text) => expect(bytes(value)).toBe(text));

it.each([
  [0, "0 ms"],
  [0.6, "1 ms"],
  [999, "999 ms"],
  [3004, "3.004 s"],
  [61_000, "1 min"],
])("prints %d ms as %s", (value, text) => expect(duration(value)).toBe(text));

it("prints ages from now to days", () => {
  const now = Date.parse("2026-11-23T14:00:00Z");
  const at = (seconds: number) => new Date(now - seconds * 1000).toISOString();
  expect([1, 8, 120, 7200, 200_000].map((seconds) => age(at(seconds), now))).toEqual([
    "now",
    "8 s",
    "2 min",
    "2 h",
    "2 d",
  ]);
});

it("groups thousands and counts nouns", () => {
  expect(count(18402)).toBe("18,402");
  expect([plural(1, "edit"), plural(2, "edit"), plural(0, "entry", "entries")]).toEqual([
    "1 edit",
    "2 edits",
    "0 entries",
  ]);
});

it("gives back what is not a time", () => expect(clock("soon")).toBe("soon"));

it("prints a place with its column when it has one", () => {
  expect(place({ file: "a.yaml", line: 8, column: 15 })).toBe("a.yaml:8:15");
  expect(place({ file: "a.yaml", line: 8 })).toBe("a.yaml:8");
});
