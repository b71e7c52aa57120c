import { describe, expect, it, vi } from "vitest";
import { Query } from "./query.svelte";

const settled = () => new Promise((resolve) => setTimeout(resolve));

describe("a query", () => {
  it("does not load while nobody watches", async () => {
    const load = vi.fn(async () => 1);
    new Query(load).touch();
    await settled();
    expect(load).not.toHaveBeenCalled();
  });

  it("loads once for many touches", async () => {
    const load = vi.fn(async () => 1);
    const query = new Query(load);
    query.watch();
    for (let i = 0; i < 10; i += 1) query.touch();
    await settled();
    await settled();
    expect(load).toHaveBeenCalledTimes(1);
  });

  it("loads again when it was touched while it loaded", async () => {
    const load = vi.fn(async () => 1);
    const query = new Query(load);
    query.watch();
    const first = query.refresh();
    query.touch();
    await first;
    await vi.waitFor(() => expect(load).toHaveBeenCalledTimes(2));
  });

  it("asks anew when the answer under way was forgotten", async () => {
    const answers: ((value: string) => void)[] = [];
    const query = new Query(() => new Promise<string>((resolve) => answers.push(resolve)));
    const first = query.refresh();
    query.forget();
    const second = query.refresh();
    answers[0]?.("of another place");
    await first;
    await vi.waitFor(() => expect(answers).toHaveLength(2));
    answers[1]?.("of this one");
    await second;
    expect(query.value).toBe("of this one");
  });

  it("keeps the last good answer beside the fault of a failed reload", async () => {
    let fail = false;
    const query = new Query(async () => {
      if (fail) throw { code: "io", message: "cannot read", hint: null, at: null };
      return "good";
    });
    await query.refresh();
    fail = true;
    await query.refresh();
    expect(query.value).toBe("good");
    expect(query.fault?.message).toBe("cannot read");
  });

  it("lets an answer brought by an event win over a call that began before it", async () => {
    let answer: (value: string) => void = () => undefined;
    const query = new Query(() => new Promise<string>((resolve) => (answer = resolve)));
    const loading = query.refresh();
    query.put("from the event");
    answer("older");
    await loading;
    expect(query.value).toBe("from the event");
  });
});
