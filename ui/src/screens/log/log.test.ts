import { fireEvent, render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Flow, LogPage, LogQuery } from "../../bridge/bindings";
import { useChannel } from "../../bridge/channel";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import LogWindow from "./LogWindow.svelte";
import { LogView } from "./view.svelte";

let app: Recording;

beforeEach(() => {
  app = record();
});

const newestQuery = () => app.asked("log_page").at(-1)?.query as LogQuery;

describe("the log window", () => {
  it("draws only rows near the sight and always says lag, drops and what is kept", async () => {
    render(LogWindow);
    const rows = await screen.findAllByTestId("log-row");
    expect(rows.length).toBeLessThan(100);
    expect(screen.getByTestId("log-count")).toHaveTextContent("400 of 400 kept");
    expect(screen.getByTestId("log-lag")).toHaveTextContent("0 ms behind");
    expect(screen.getByTestId("log-dropped")).toHaveTextContent("dropped 0");
  });

  it("filters by a facet and takes the filter away again", async () => {
    render(LogWindow);
    await userEvent.click(await screen.findByTestId("log-facet-verdict-blocked"));
    await vi.waitFor(() => expect(newestQuery().verdicts).toEqual(["blocked"]));
    const rows = await screen.findAllByTestId("log-row");
    expect(new Set(rows.map((row) => row.dataset.verdict))).toEqual(new Set(["blocked"]));
    await userEvent.click(await screen.findByTestId("log-facet-verdict-blocked"));
    await vi.waitFor(() => expect(newestQuery().verdicts).toEqual([]));
  });

  it("turns a typed token into a filter", async () => {
    render(LogWindow);
    await userEvent.type(await screen.findByTestId("log-filter"), "flags:UH ");
    await vi.waitFor(() => expect(newestQuery().flags).toEqual(["UH"]));
    expect(await screen.findByTestId("log-filter-token")).toHaveTextContent("flags:UH");
  });

  it("decodes the selected line, pauses, and explains it", async () => {
    render(LogWindow);
    await userEvent.click((await screen.findAllByTestId("log-row"))[0] as HTMLElement);
    expect(await screen.findByTestId("log-line")).toHaveTextContent("14:0");
    expect(screen.getByTestId("log-follow")).toHaveTextContent("Follow");
    await userEvent.click(screen.getByTestId("log-why"));
    expect((await screen.findAllByTestId("why-step")).length).toBe(5);
  });

  it("says of one new line that it is one", async () => {
    render(LogWindow);
    await userEvent.click((await screen.findAllByTestId("log-row"))[0] as HTMLElement);
    app.answers.log_page = async (args) => {
      const page = await app.base.call<LogPage>("log_page", args);
      return { ...page, matched: page.matched + 1 };
    };
    app.tell("flows-added", { lastId: 900, added: 1, dropped: 0 });
    expect(await screen.findByTestId("log-waiting")).toHaveTextContent(/^1 new line\s*End$/);
  });

  it("hands a flow to the main window to be allowed", async () => {
    render(LogWindow);
    await userEvent.click((await screen.findAllByTestId("log-row"))[2] as HTMLElement);
    await userEvent.click(await screen.findByTestId("log-allow"));
    expect(app.asked("allow_from_log")).toHaveLength(1);
  });

  it("moves with j and k, pauses with Space, follows with End", async () => {
    render(LogWindow);
    await screen.findAllByTestId("log-row");
    await fireEvent.keyDown(window, { key: "k" });
    await fireEvent.keyDown(window, { key: "k" });
    await vi.waitFor(() => expect(screen.getByRole("option", { selected: true }).id).toBe("log-399"));
    await fireEvent.keyDown(window, { key: "End" });
    expect(screen.queryByRole("option", { selected: true })).toBeNull();
    await fireEvent.keyDown(window, { key: " " });
    expect(screen.getByTestId("log-follow")).toHaveTextContent("Follow");
  });
});

describe("the log window of another place", () => {
  it("lets the rows of the place before go, and follows", async () => {
    render(LogWindow);
    await userEvent.click((await screen.findAllByTestId("log-row"))[0] as HTMLElement);
    await screen.findByTestId("log-line");
    app.answers.log_page = async (args) => ({ ...(await app.base.call<LogPage>("log_page", args)), rows: [] });
    app.tell("source-changed", { ...example.source, epoch: example.source.epoch + 1 });
    expect(screen.getByTestId("log-follow")).toHaveTextContent("Follow");
    app.tell("source-changed", { ...example.source, path: "/elsewhere", name: "elsewhere" });
    await vi.waitFor(() => expect(screen.getByTestId("log-follow")).toHaveTextContent("Pause"));
    expect(screen.queryByTestId("log-line")).toBeNull();
    await vi.waitFor(() => expect(screen.queryByTestId("log-row")).toBeNull());
  });

  it("lets rows go that are no longer kept", async () => {
    render(LogWindow);
    await userEvent.click((await screen.findAllByTestId("log-row"))[0] as HTMLElement);
    const cleared = { rows: [], matched: 0, kept: 0, firstId: 900 };
    app.answers.log_page = async (args) => ({ ...(await app.base.call<LogPage>("log_page", args)), ...cleared });
    app.tell("flows-added", { lastId: 900, added: 0, dropped: 0 });
    await vi.waitFor(() => expect(screen.queryByTestId("log-row")).toBeNull());
    expect(screen.getByTestId("log-follow")).toHaveTextContent("Pause");
  });
});

describe("the keys of the log window", () => {
  it("act in Why? on the flow that is explained, and on no other", async () => {
    render(LogWindow);
    await userEvent.click((await screen.findAllByTestId("log-row"))[2] as HTMLElement);
    await userEvent.click(await screen.findByTestId("log-why"));
    const explained = app.asked("why").at(-1)?.id;
    await screen.findAllByTestId("why-step");
    await fireEvent.keyDown(window, { key: "j" });
    await fireEvent.keyDown(window, { key: "w" });
    await fireEvent.keyDown(window, { key: "a" });
    expect(app.asked("allow_from_log")).toEqual([{ flowId: explained }]);
    expect(app.asked("why").at(-1)?.id).toBe(explained);
    await fireEvent.keyDown(window, { key: "Escape" });
    await screen.findByTestId("log-details");
  });
});

describe("more like a line", () => {
  it("are those of its host, port, verdict and workload", async () => {
    render(LogWindow);
    await userEvent.click((await screen.findAllByTestId("log-row"))[0] as HTMLElement);
    await userEvent.click(await screen.findByTestId("log-by-host"));
    const [host] = newestQuery().hosts;
    expect(host).toBeDefined();
    await userEvent.click(await screen.findByTestId("log-by-host"));
    expect(newestQuery().hosts).toEqual([host]);
    await userEvent.click(await screen.findByTestId("log-only-these"));
    await vi.waitFor(() => expect(newestQuery().text).toMatch(/^port:\d+$/));
    expect(newestQuery()).toMatchObject({
      hosts: [host],
      verdicts: [expect.any(String)],
      workloads: [expect.any(String)],
    });
  });
});

describe("the view of the log", () => {
  const flow = (id: number): Flow => ({ ...(example.flows[0] as Flow), id });

  /** A store of `size` flows that answers as the app does. */
  function store(size: number) {
    const flows = Array.from({ length: size }, (_, index) => flow(index + 1));
    useChannel({
      call: async <T>(_: string, args: Record<string, unknown> = {}) => {
        const { before, limit } = args as { before: number | null; limit: number };
        const page: LogPage = {
          rows: flows.filter((each) => before === null || each.id < before).slice(-limit),
          matched: flows.length,
          kept: flows.length,
          total: flows.length,
          dropped: 0,
          firstId: 1,
          lastId: flows.length,
          facets: [],
          lagMs: 0,
          perSecond: [],
        };
        return page as T;
      },
      listen: async () => () => undefined,
    });
    return flows;
  }

  it("loads older rows in front, in order and without a gap, until there is none", async () => {
    store(1100);
    const view = new LogView();
    await view.pull();
    expect(view.rows[0]?.id).toBe(901);
    expect(await view.older()).toBe(500);
    expect(await view.older()).toBe(400);
    expect(await view.older()).toBe(0);
    expect(view.rows.map((row) => row.id)).toEqual(Array.from({ length: 1100 }, (_, index) => index + 1));
  });

  it("stands still while paused and counts what waits", async () => {
    const flows = store(10);
    const view = new LogView();
    await view.pull();
    view.pause();
    flows.push(flow(11), flow(12));
    await view.pull();
    expect(view.rows.at(-1)?.id).toBe(10);
    expect(view.waiting).toBe(2);
    view.follow();
    await vi.waitFor(() => expect(view.rows.at(-1)?.id).toBe(12));
    expect(view.waiting).toBe(0);
  });
});
