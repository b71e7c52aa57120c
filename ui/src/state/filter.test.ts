import { describe, expect, it } from "vitest";
import { add, logKeys, logQuery, parse, print, toggle } from "./filter";

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

  it("reads what is said twice once", () => {
    expect(parse("flags:UH flags:UH", logKeys).tokens).toEqual([{ key: "flags", value: "UH" }]);
  });

  it("adds a token once and never takes it away", () => {
    const token = { key: "host", value: "a.example" };
    expect(add(add("text", logKeys, token), logKeys, token)).toBe("host:a.example text");
  });

  const nothing = { text: "", verdicts: [], workloads: [], hosts: [], statuses: [], flags: [] };

  it("asks the app with typed lists where every value is a whole one", () => {
    expect(logQuery("verdict:blocked status:504 status:200 host:a.example workload:default/sleep slow")).toEqual({
      ...nothing,
      text: "slow",
      verdicts: ["blocked"],
      workloads: ["default/sleep"],
      hosts: ["a.example"],
      statuses: [504, 200],
    });
  });

  it.each([
    ["status:5xx", "status:5xx"],
    ["status:>=400 slow", "status:>=400 slow"],
    ["status:504 status:2xx", "status:504 status:2xx"],
    ["host:google", "host:google"],
    ["host:*.google.com", "host:*.google.com"],
    ["verdict:block", "verdict:block"],
    ["workload:sleep", "workload:sleep"],
  ])("hands a part, a class or a comparison to the app as it is written: %s", (input, text) => {
    expect(logQuery(input)).toEqual({ ...nothing, text });
  });
});
