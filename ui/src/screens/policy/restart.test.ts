/** Pods with older rules are named, chosen and restarted; nothing is offered that cannot be done. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import type { PodsRow, PodsView, Right } from "../../bridge/bindings";
import { useChannel } from "../../bridge/channel";
import * as example from "../../bridge/example";
import { source } from "../../state/store.svelte";
import Restart from "./Restart.svelte";

let calls: [string, Record<string, unknown>][] = [];
const lists = (excludeRanges: string) => ({ includeRanges: "*", excludeRanges, includePorts: "", excludePorts: "" });
const row = (workload: string, stale: number, more: Partial<PodsRow> = {}): PodsRow => ({
  kind: "Deployment",
  workload,
  pods: 2,
  stale,
  runsWith: stale ? "older" : "current",
  has: lists(""),
  gets: lists(stale ? "10.0.0.0/8" : ""),
  proxyHas: [],
  proxyGets: null,
  own: false,
  revision: "",
  since: "2026-11-28T07:00:00Z",
  restarts: true,
  ...more,
});
const view = (workloads: PodsRow[], restart: Partial<PodsView["restart"]> = {}): PodsView => ({
  workloads,
  restart: { steps: [], paused: false, running: false, ...restart },
});

function editing(on: boolean) {
  source.put(example.clusterWith({ editing: on }));
}

beforeEach(() => {
  calls = [];
  useChannel({
    call: async (command, args = {}) => {
      calls.push([command, args]);
      return null as never;
    },
    listen: async () => () => undefined,
  });
  editing(true);
});

it("restarts the workloads with older rules, after one more click, without those that were taken out", async () => {
  render(Restart, { pods: view([row("shop/cart", 1), row("shop/web", 2), row("shop/db", 0)]) });
  expect(screen.getByTestId("stale-pods")).toHaveTextContent("3 pods");
  await userEvent.click(screen.getByLabelText("Restart shop/web"));
  await userEvent.click(screen.getByTestId("restart"));
  expect(calls).toEqual([]);
  await userEvent.click(screen.getByTestId("restart-confirm"));
  expect(calls).toEqual([["restart_workloads", { workloads: [{ kind: "Deployment", workload: "shop/cart" }] }]]);
});

it("says what an older pod has and what a new one would get", async () => {
  render(Restart, { pods: view([row("shop/cart", 1)]) });
  await userEvent.click(screen.getByText("shop/cart"));
  expect(screen.getByText(/Excluded ranges/)).toHaveTextContent("Excluded ranges none, a new pod: 10.0.0.0/8");
});

it("says which proxy a pod runs and which a new one would get, and restarts it", async () => {
  const older: Partial<PodsRow> = {
    runsWith: "olderProxy",
    proxyHas: ["1.30.1"],
    proxyGets: "1.31.0",
    gets: lists(""),
  };
  render(Restart, { pods: view([row("shop/cart", 1, older)]) });
  expect(screen.getByTestId("pods-row")).toHaveTextContent("older proxy 1.30.1");
  await userEvent.click(screen.getByText("shop/cart"));
  expect(screen.getByText(/Proxy/)).toHaveTextContent("Proxy 1.30.1, a new pod: 1.31.0");
  await userEvent.click(screen.getByTestId("restart"));
  await userEvent.click(screen.getByTestId("restart-confirm"));
  expect(calls).toEqual([["restart_workloads", { workloads: [{ kind: "Deployment", workload: "shop/cart" }] }]]);
});

it("offers no restart while the window is read-only, nothing is stale, or what is stale does not roll", async () => {
  const { rerender } = render(Restart, { pods: view([row("shop/db", 0)]) });
  expect(screen.getByTestId("restart")).toBeDisabled();
  await rerender({ pods: view([row("batch/job", 1, { kind: "Job", restarts: false })]) });
  expect(screen.getByTestId("restart")).toBeDisabled();
  editing(false);
  await rerender({ pods: view([row("shop/cart", 1)]) });
  expect(screen.getByTestId("restart")).toHaveAttribute("title", expect.stringContaining("Editing is switched off"));
});

it("offers no restart where a permission is missing, and names it with the namespace", async () => {
  const right: Right = {
    feature: "restartWorkloads",
    words: "Restart workloads",
    everywhere: false,
    namespaces: ["shop"],
    unsure: false,
    needs: "patch deployments.apps",
    namespace: null,
  };
  source.put(example.clusterWith({ editing: true, rights: [right] }));
  const { rerender } = render(Restart, { pods: view([row("shop/cart", 1), row("pay/api", 1)]) });
  expect(screen.getByTestId("restart")).toBeDisabled();
  expect(screen.getByTestId("needs")).toHaveTextContent("needs patch deployments.apps in pay");
  await rerender({ pods: view([row("shop/cart", 1)]) });
  expect(screen.getByTestId("restart")).toBeEnabled();
});

it("shows how far a restart is, why it failed, and pauses", async () => {
  const fault = { code: "rollout", message: "its new pod does not start", hint: null, at: null };
  const steps: PodsView["restart"]["steps"] = [
    { workload: "shop/cart", state: "failed", fault },
    { workload: "shop/web", state: "rolling", new: 1, all: 2 },
  ];
  render(Restart, { pods: view([row("shop/web", 1)], { running: true, steps }) });
  expect(screen.getByTestId("restart-progress")).toHaveTextContent("its new pod does not start");
  expect(screen.getByTestId("restart-progress")).toHaveTextContent("1 of 2 pods new");
  await userEvent.click(screen.getByText("Pause"));
  expect(calls).toEqual([["pause_restart", { paused: true }]]);
});
