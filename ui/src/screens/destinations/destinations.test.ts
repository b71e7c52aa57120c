import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import App from "../../App.svelte";
import type { DestinationRow } from "../../bridge/bindings";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { navigation } from "../../state/navigation.svelte";

let app: Recording;
const registered = example.flows.find((flow) => flow.verdict === "registered");
const row: DestinationRow = {
  ...(example.destinations[0] as DestinationRow),
  name: registered?.name ?? "",
  port: registered?.port ?? 0,
  protocol: "HTTP",
  verdict: "registered",
};

beforeEach(() => {
  app = record();
});

async function open() {
  navigation.go("destinations");
  render(App);
  await screen.findAllByTestId("destination-row");
}

describe("the destinations", () => {
  it("are drawn only where they are in sight, twenty thousand as ten", async () => {
    app.answers.destinations = () =>
      Array.from({ length: 20_000 }, (_, index) => ({ ...row, name: `h${index}.example`, requests: 20_000 - index }));
    await open();
    expect(screen.getByTestId("destination-count")).toHaveTextContent("20,000 of 20,000");
    expect(screen.getAllByTestId("destination-row").length).toBeLessThan(100);
    expect(screen.getAllByTestId("destination-row")[0]).toHaveTextContent("h0.example");
  });

  it("keep their places while the pointer is over them, and new ones come last", async () => {
    let rows = [row, { ...row, name: "b.example", requests: row.requests - 1 }];
    app.answers.destinations = () => rows;
    await open();
    const names = () => screen.getAllByTestId("destination-row").map((each) => each.textContent);
    await userEvent.hover(screen.getAllByTestId("destination-row")[0] as HTMLElement);
    rows = [
      { ...row, name: "c.example", requests: row.requests + 2 },
      { ...row, name: "b.example", requests: row.requests + 1 },
      row,
    ];
    app.tell("flows-added", { lastId: 900, added: 1, dropped: 0 });
    await vi.waitFor(() => expect(names()).toHaveLength(3));
    expect(names()[0]).toContain(row.name);
    expect(names()[1]).toContain("b.example");
    expect(names()[2]).toContain("c.example");
  });

  it("are sorted by the column that is clicked, though the pointer is over them", async () => {
    app.answers.destinations = () => ["b", "c", "a"].map((name, index) => ({ ...row, name, requests: 9 - index }));
    await open();
    const names = () => screen.getAllByTestId("destination-row").map((each) => each.querySelector(".hp")?.textContent);
    expect(names()).toEqual(["b", "c", "a"].map((name) => `${name}:${row.port}`));
    await userEvent.hover(screen.getAllByTestId("destination-row")[0] as HTMLElement);
    await userEvent.click(screen.getByRole("button", { name: "Destination" }));
    expect(names()).toEqual(["a", "b", "c"].map((name) => `${name}:${row.port}`));
  });

  it("are not said to be none in Overview where they are not known", async () => {
    app.answers.destinations = () => {
      throw { code: "away", message: "no answer", hint: null, at: null };
    };
    render(App);
    expect(await screen.findByText("no answer")).toBeInTheDocument();
    await screen.findByTestId("overview-sentence");
    expect(screen.queryByTestId("nothing-seen")).toBeNull();
  });

  it("open the form of a timeout with the flow that it is for", async () => {
    app.answers.destinations = () => [row];
    await open();
    const button = within(await screen.findByTestId("inspector")).getByRole("button", { name: /Set timeout/ });
    expect(button).not.toHaveAttribute("title");
    await userEvent.click(button);
    await vi.waitFor(() =>
      expect(app.asked("draft_new")).toEqual([{ kind: "VirtualService", flowId: expect.any(Number) }]),
    );
  });

  it("are tested where requests can be sent, not where a sidecar could be deployed", async () => {
    app.answers.source_state = () => example.clusterWith({});
    app.answers.destinations = () => [row];
    navigation.openSandbox("cluster");
    await open();
    await userEvent.click(await screen.findByTestId("inspector-test"));
    expect(await screen.findByTestId("console-url")).toHaveValue(`http://${row.name}/`);
  });

  it("say in a cluster why nothing is seen, as Overview does", async () => {
    app.answers.source_state = () => example.clusterWith({});
    app.answers.sandbox_state = () => ({ ...example.sandbox, state: "stopped" });
    app.answers.destinations = () => [];
    navigation.go("destinations");
    render(App);
    await userEvent.click(await screen.findByRole("button", { name: "Open the live log" }));
    expect(screen.queryByText(/No sidecar runs/)).toBeNull();
    expect(app.asked("open_log_window")).toHaveLength(1);
  });
});
