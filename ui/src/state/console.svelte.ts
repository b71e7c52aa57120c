/** The test console of the sandbox: requests sent and commands run, kept while the app runs. */
import type { RequestResult } from "../bridge/bindings";
import * as calls from "../bridge/calls";
import { on } from "../bridge/events";
import { comparison } from "./store.svelte";
import { attempt } from "./toasts.svelte";

export interface Sent {
  id: number;
  method: string;
  url: string;
  /** The workload whose pod sent it; null for the sandbox. */
  pod: string | null;
  /** Null while the answer is awaited. */
  result: RequestResult | null;
}

export interface OutputLine {
  stream: "stdin" | "stdout" | "stderr" | "note";
  text: string;
}

const historyBound = 200;
const outputBound = 2000;
/** Longest line, in UTF-16 units: a command that never ends one must not take all memory. */
const lineBound = 64 * 1024;

class Console {
  history = $state.raw<Sent[]>([]);
  output = $state.raw<OutputLine[]>([]);
  /** Lines that fell off the front because the output is bounded. */
  outputDropped = $state(0);
  running = $state<number | null>(null);
  /** Where a policy is compared with, requests are sent through its sidecar too. */
  both = $state(false);
  #next = 1;
  #rest = { stdout: "", stderr: "" };

  async send(method: string, url: string, pod: string | null = null): Promise<void> {
    const sent: Sent = { id: this.#next++, method, url, pod, result: null };
    this.history = [...this.history, sent].slice(-historyBound);
    const both = this.both && pod === null && comparison.value?.with != null;
    const through = both ? "both" : "one";
    const result = await attempt(() => calls.sendRequest(method, url, pod, through));
    this.history =
      result === null
        ? this.history.filter((each) => each.id !== sent.id)
        : this.history.map((each) => (each.id === sent.id ? { ...each, result } : each));
  }

  async run(command: string): Promise<void> {
    this.#add([{ stream: "stdin", text: command }]);
    const id = await attempt(() => calls.runCommand(command));
    if (id !== null && !this.#ended.delete(id)) this.running = id;
  }

  async stop(): Promise<void> {
    const id = this.running;
    if (id !== null) await attempt(() => calls.stopCommand(id));
  }

  /** What was sent in one place is sent again in no other. A command that runs can still be stopped. */
  leavesPlace(): void {
    this.history = [];
    this.both = false;
    this.output = [];
    this.outputDropped = 0;
  }

  clear(): void {
    this.leavesPlace();
    this.running = null;
  }

  /** A command may end before the call that started it has answered. */
  #ended = new Set<number>();

  take(event: { id: number; stream: "stdout" | "stderr" | "exit"; text: string; code: number | null }): void {
    if (event.stream !== "exit") {
      const pieces = (this.#rest[event.stream] + event.text).split("\n");
      const rest = pieces.pop() ?? "";
      const whole = rest.length < lineBound;
      this.#rest[event.stream] = whole ? rest : "";
      if (!whole) pieces.push(rest);
      const stream = event.stream;
      return this.#add(pieces.map((text) => ({ stream, text })));
    }
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#rest[stream] !== "") this.#add([{ stream, text: this.#rest[stream] }]);
      this.#rest[stream] = "";
    }
    this.#add([{ stream: "note", text: event.code === null ? event.text || "stopped" : `exit ${event.code}` }]);
    if (this.running === event.id) this.running = null;
    else this.#ended.add(event.id);
  }

  #add(lines: OutputLine[]): void {
    const all = [...this.output, ...lines];
    this.outputDropped += Math.max(0, all.length - outputBound);
    this.output = all.slice(-outputBound);
  }
}

export const testConsole = new Console();

export const listenToCommands = () => on("command-output", (event) => testConsole.take(event));
