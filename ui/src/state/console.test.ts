import { expect, it, vi } from "vitest";
import { useChannel } from "../bridge/channel";
import { testConsole } from "./console.svelte";

it("puts pieces of output together into lines", () => {
  testConsole.take({ id: 7, stream: "stdout", text: "HTTP/1.1 2", code: null });
  testConsole.take({ id: 7, stream: "stdout", text: "00 OK\nbody", code: null });
  expect(testConsole.output.map((line) => line.text)).toEqual(["HTTP/1.1 200 OK"]);
  testConsole.take({ id: 7, stream: "exit", text: "", code: 0 });
  expect(testConsole.output.map((line) => line.text)).toEqual(["HTTP/1.1 200 OK", "body", "exit 0"]);
});

it("does not wait for ever for a command that ended before its call returned", async () => {
  useChannel({
    call: async () => {
      testConsole.take({ id: 3, stream: "exit", text: "", code: 35 });
      return 3 as never;
    },
    listen: async () => () => undefined,
  });
  await testConsole.run("curl https://blocked.example/");
  expect(testConsole.running).toBeNull();
});

it("keeps a bounded output and counts what fell out", () => {
  testConsole.take({ id: 1, stream: "stdout", text: "x\n".repeat(2500), code: null });
  expect(testConsole.output).toHaveLength(2000);
  expect(testConsole.outputDropped).toBe(500);
});

it("keeps no line that never ends", () => {
  testConsole.clear();
  const piece = "x".repeat(16 * 1024);
  for (let count = 0; count < 9; count++) testConsole.take({ id: 1, stream: "stdout", text: piece, code: null });
  expect(testConsole.output.map((line) => line.text.length)).toEqual([4 * piece.length, 4 * piece.length]);
  testConsole.take({ id: 1, stream: "exit", text: "", code: 0 });
});

it("takes a request out of the history when the app could not send it", async () => {
  useChannel({
    call: () => Promise.reject({ code: "stopped", message: "no sandbox runs", hint: null, at: null }),
    listen: async () => () => undefined,
  });
  await testConsole.send("GET", "http://httpbin.org/");
  await vi.waitFor(() => expect(testConsole.history).toHaveLength(0));
});
