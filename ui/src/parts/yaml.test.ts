import { expect, it } from "vitest";
import { spans } from "./yaml";

it.each([
  ["  name: google", ["  ", "name", ":", " google"]],
  ["  - number: 443", ["  - ", "number", ":", " 443"]],
  ["    timeout: 3s # slow", ["    ", "timeout", ":", " 3s", " # slow"]],
  ['  hosts: ["a#b"]', ["  ", "hosts", ":", ' ["a#b"]']],
  ["plain text", ["plain text"]],
])("splits %j without losing a character", (line, pieces) => {
  expect(spans(line).map((span) => span.text)).toEqual(pieces);
});
