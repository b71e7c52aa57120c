import { describe, expect, it } from "vitest";
import { logKeys, logQuery, parse, print, toggle } from "./filter";

describe("the filter bar", () => {
  it.each([
    ["verdict:blocked", [{ key: "verdict", value: "blocked" }], ""],
    ["host:a.example get", [{ key: "host", value: "a.example" }], "get"],
    ["unknown:x", [], "unknown:x"],
    ["verdict:", [], "verdict:"],
    ["  two  words ", [], "two words"],
  ])("reads %j", (input, tokens, text) => {
    expect(parse(input, logKeys)).toEqual({ tokens, text });
  });

  it("prints what it has read", () => {
    const input = "verdict:blocked host:a.example some text";
    expect(print(parse(input, logKeys))).toBe(input);
  });

  it("takes a value away that is there already", () => {
    const token = { key: "flags", value: "UH" };
    const once = toggle("text", logKeys, token);
    expect(once).toBe("flags:UH text");
    expect(toggle(once, logKeys, token)).toBe("text");
  });

  it("asks the app with typed lists and leaves out what is no verdict and no number", () => {
    expect(logQuery("verdict:blocked verdict:nonsense status:504 status:x workload:default/sleep slow")).toEqual({
      text: "slow",
      verdicts: ["blocked"],
      workloads: ["default/sleep"],
      hosts: [],
      statuses: [504],
      flags: [],
    });
  });
});
