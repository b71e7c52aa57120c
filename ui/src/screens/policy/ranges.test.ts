import { expect, it } from "vitest";
import { clip, covered, span } from "./ranges";

const spans = (...list: string[]) => list.map(span).filter((each) => each !== null);

it.each(["10.0.0.0", "10.0.0.0/33", "300.0.0.0/8", "fd00::/8", "*", ""])("draws nothing for %j", (text) => {
  expect(span(text)).toBeNull();
});

it("starts a range at its network address", () => {
  expect(span("10.1.2.3/8")).toMatchObject({ from: 10 / 256, to: 11 / 256 });
});

it("counts what ranges share only once", () => {
  expect(covered(spans("0.0.0.0/1", "0.0.0.0/2", "128.0.0.0/1"))).toBe(1);
});

it("cuts ranges at the ends of a lane", () => {
  expect(clip(spans("0.0.0.0/0"), 0.25, 0.5)).toMatchObject([{ from: 0.25, to: 0.5 }]);
  expect(clip(spans("10.0.0.0/8"), 0.5, 1)).toEqual([]);
});
