import { fireEvent, render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { beforeEach, describe, expect, it, vi } from "vitest";
import App from "../../App.svelte";
import type { LogSource } from "../../bridge/bindings";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { navigation } from "../../state/navigation.svelte";
import LogWindow from "./LogWindow.svelte";

let app: Recording;

/** The stand-in with a cluster open, and with `answer` for where its flows come from. */
async function cluster(answer?: LogSource) {
  await app.base.call("open_context", { name: "kind-dev" });
  if (answer) app.answers.log_source = () => answer;
}
const last = (command: string) => app.asked(command).at(-1);

beforeEach(() => {
  app = record();
});

describe("which pods are followed", () => {
  it("is said with the bound, and a choice goes before it", async () => {
    await cluster();
    render(LogWindow);
    const button = await screen.findByTestId("log-pods");
    expect(button).toHaveTextContent("All workloads · 50 of 62 pods");
    await userEvent.click(button);
    await userEvent.type(screen.getByTestId("log-pods-find"), "mail");
    await userEvent.click(screen.getByTestId("log-pods-choice"));
    expect(last("follow_workloads")).toEqual({ workloads: ["shop/mail"] });
    await vi.waitFor(() => expect(screen.getByTestId("log-pods")).toHaveTextContent("1 chosen"));
    await userEvent.click(screen.getByTestId("log-pods-all"));
    expect(last("follow_workloads")).toEqual({ workloads: [] });
  });

  it("is no question in a folder", async () => {
    render(LogWindow);
    await screen.findByTestId("log-count");
    expect(screen.queryByTestId("log-pods")).toBeNull();
  });
});

describe("the access log", () => {
  it("that is written twice is said, for its flows are counted twice", async () => {
    const twice = "The sidecars of shop/cart write about flows twice.";
    await cluster({ ...example.logSource, accessLog: { ...example.logSource.accessLog, twice } });
    render(LogWindow);
    expect(await screen.findByTestId("access-log-twice")).toHaveTextContent(twice);
  });

  it("that is off is said with its cause and switched on by a staged edit", async () => {
    await cluster();
    render(LogWindow);
    const note = await screen.findByTestId("access-log-off");
    expect(note).toHaveTextContent("Access logging is off. For 1 of 3 workloads: shop/mail.");
    expect(note).toHaveTextContent("Telemetry shop/quiet switches access logs off.");
    await userEvent.click(screen.getByTestId("access-log-switch"));
    await vi.waitFor(() => expect(screen.getByTestId("access-log-scope")).toHaveTextContent("workload shop/cart"));
    await fireEvent.change(screen.getByTestId("access-log-scope"), { target: { value: "namespace shop" } });
    await userEvent.click(screen.getByTestId("access-log-60"));
    await userEvent.click(screen.getByTestId("access-log-stage"));
    expect(last("stage_access_log")).toEqual({ scope: "namespace shop", on: true, minutes: 60 });
    await vi.waitFor(() => expect(last("show_main")).toEqual({ screen: "review" }));
    expect(screen.queryByTestId("access-log-scope")).toBeNull();
  });

  it("that is on is said everywhere with its end, and can be removed", async () => {
    await cluster();
    render(App);
    const status = await screen.findByTestId("status-access-log");
    expect(status).toHaveTextContent(/access log on until \d\d:\d\d/);
    await userEvent.click(status.querySelector("button") as HTMLElement);
    expect(last("stage_access_log")).toEqual({ scope: "namespace default", on: false, minutes: null });
    await screen.findByTestId("screen-review");
  });

  it("that outlived its time is a banner with a button", async () => {
    const accessLog = example.logSource.accessLog;
    const switchedOn = accessLog.switchedOn.map((each) => ({ ...each, overdue: true }));
    await cluster({ ...example.logSource, accessLog: { ...accessLog, switchedOn } });
    render(App);
    expect(await screen.findByTestId("access-log-overdue")).toHaveTextContent("was to end at");
    await userEvent.click(screen.getByTestId("access-log-overdue-remove"));
    expect(last("stage_access_log")).toEqual({ scope: "namespace default", on: false, minutes: null });
  });

  it("says why lines cannot be read", async () => {
    await cluster();
    render(LogWindow);
    expect(await screen.findByTestId("log-unread")).toHaveTextContent(
      "3 lines cannot be read. accessLogFormat of ConfigMap istio-system/istio lacks the host.",
    );
    expect(screen.queryByTestId("log-gaps")).toBeNull();
    expect(screen.queryByTestId("log-failing")).toBeNull();
  });

  it("says where lines may be missing, and whose log cannot be read", async () => {
    const follow = { ...example.logSource.follow, gaps: 2, failing: 1, failingBecause: "shop/cart-0: no node" };
    await cluster({ ...example.logSource, follow });
    render(LogWindow);
    expect(await screen.findByTestId("log-gaps")).toHaveTextContent("Lines may be missing in 2 places");
    expect(screen.getByTestId("log-failing")).toHaveTextContent(
      "The logs of 1 pod cannot be read. shop/cart-0: no node",
    );
  });
});

it.each(["follow", "access-log"] as const)("the layer %s of a cluster's log is accessible", async (layer) => {
  await cluster();
  render(LogWindow);
  await screen.findByTestId("access-log-off");
  navigation.layer = layer;
  await screen.findByTestId(layer === "follow" ? "log-pods-find" : "access-log-scope");
  const results = await axe.run(document.body, {
    rules: { "color-contrast": { enabled: false }, region: { enabled: false } },
  });
  expect(results.violations.map((each) => `${each.id}: ${each.help} ${each.nodes.map((node) => node.html)}`)).toEqual(
    [],
  );
});
