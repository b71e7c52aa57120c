/** Clusters in the source menu, and what a person may not do there, through the whole main window. */
import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import App from "../App.svelte";
import type { ClusterState, Connecting, KubeconfigRow, Review } from "../bridge/bindings";
import * as example from "../bridge/example";
import { record, type Recording } from "../bridge/recording";

let app: Recording;

beforeEach(() => {
  app = record();
});

const id = (name: string) => screen.findByTestId(name);
const fault = (code: string, message: string, hint: string | null = null) => ({ code, message, hint, at: null });

async function openMenu() {
  render(App);
  await userEvent.click(await id("source-menu"));
}

/** A cluster that is open, for somebody who changes services in `default` only, no mesh, and sends no requests. */
async function openCluster(more: Partial<ClusterState> = {}) {
  const rights = example.contextFacts.rights.map((right) =>
    right.feature === "sendRequests" ? { ...right, everywhere: false } : right,
  );
  app.answers.source_state = () => example.clusterWith({ rights, ...more });
  app.answers.context_facts = () => ({ ...example.contextFacts, rights });
  render(App);
  await screen.findByTestId("editing");
}

it("says why there is no cluster to choose", async () => {
  const none: KubeconfigRow = {
    id: "default",
    name: null,
    contexts: [],
    fault: fault("kubeconfig", "There is no kubeconfig.", "Make one."),
  };
  app.answers.list_kubeconfigs = () => [none];
  await openMenu();
  expect(await id("no-contexts")).toHaveTextContent("There is no kubeconfig. Make one.");
});

it("lists a file that was opened under its name, and forgets it when asked", async () => {
  await openMenu();
  await userEvent.click(await id("pick-kubeconfig"));
  const file = await screen.findByRole("region", { name: "team.yaml" });
  expect(within(file).getByTestId("context")).toHaveTextContent("team-eu");
  await userEvent.click(within(file).getByTestId("forget-kubeconfig"));
  expect(app.asked("forget_kubeconfig")).toEqual([{ file: "team" }]);
  await vi.waitFor(() => expect(screen.queryByRole("region", { name: "team.yaml" })).toBeNull());
});

it("runs no program of an opened file before it was shown and allowed", async () => {
  app.answers.list_kubeconfigs = () => [example.pickedKubeconfig];
  await openMenu();
  await userEvent.click(await id("look"));
  const question = await id("allow-plugin");
  expect(question).toHaveTextContent("kubelogin get-token --server-id 'a b'");
  expect(question).toHaveTextContent("TENANT");
  await userEvent.click(within(question).getByTestId("allow-plugin-no"));
  expect(app.asked("context_facts")).toEqual([]);

  await userEvent.click(await id("context"));
  expect(app.asked("open_context")).toEqual([]);
  await userEvent.click(within(await id("allow-plugin")).getByTestId("allow-plugin-yes"));
  await vi.waitFor(() =>
    expect(app.asked("open_context")).toEqual([{ file: "team", name: "team-eu", window: "this" }]),
  );
  expect(app.asked("allow_plugin")).toEqual([{ file: "team", name: "team-eu", command: example.plugin.command }]);
});

it("looks only at the context that is asked about", async () => {
  await openMenu();
  await screen.findAllByTestId("look");
  expect(app.asked("context_facts")).toEqual([]);
  await userEvent.click((await screen.findAllByTestId("look"))[1] as HTMLElement);
  const facts = await id("facts");
  expect(app.asked("context_facts")).toEqual([{ file: "default", name: "eu-prod" }]);
  for (const words of ["v1.36.3", "default (1.31.0, tags default, prod), 1-30 (1.30.2)", "sidecars"])
    expect(facts).toHaveTextContent(words);
  expect((await screen.findAllByTestId("right"))[2]).toHaveTextContent("Change services in default");
});

it("shows each step of connecting, and Cancel ends it without a failure", async () => {
  let refuse: (reason: unknown) => void = () => {};
  app.answers.open_context = () => new Promise((_, reject) => (refuse = reject));
  app.answers.cancel_connecting = () => refuse(fault("cancelled", "Connecting was cancelled."));
  await openMenu();
  await userEvent.click((await screen.findAllByTestId("context"))[0] as HTMLElement);
  const step: Connecting = { file: "default", context: "kind-dev", step: "listing Service: 1200 objects" };
  app.tell("connecting-changed", step);
  expect(await id("connecting")).toHaveTextContent("kind-dev: listing Service: 1200 objects");
  await userEvent.keyboard("{Escape}");
  expect(await id("connecting")).toHaveTextContent("kind-dev");
  await userEvent.click(await id("cancel-connecting"));
  app.tell("connecting-changed", null);
  await vi.waitFor(() => expect(screen.queryByTestId("connecting")).toBeNull());
  expect(screen.queryByText("Connecting was cancelled.")).toBeNull();
});

it("offers to reconnect where the kubeconfig says something else now", async () => {
  const [file] = example.kubeconfigs;
  const contexts = (file?.contexts ?? []).map((each, index) => ({ ...each, open: index === 0, changed: index === 0 }));
  app.answers.list_kubeconfigs = () => [{ ...file, contexts }];
  await openMenu();
  expect(await id("changed-on-disk")).toHaveTextContent("something else");
  await userEvent.click(await id("reconnect"));
  expect(app.asked("open_context")).toEqual([{ file: "default", name: "kind-dev", window: "this" }]);
});

it("opens a context in a window of its own, and keeps what is open here", async () => {
  await openMenu();
  await userEvent.click(await id("new-window"));
  await userEvent.click((await screen.findAllByTestId("context"))[0] as HTMLElement);
  expect(app.asked("open_context")).toEqual([{ file: "default", name: "kind-dev", window: "new" }]);
  expect(await screen.findByText("kind-dev is open in a window of its own.")).toBeInTheDocument();
  expect(await id("source-menu")).toHaveTextContent("folder");
  // The next time the menu is about this window again, until its key says otherwise.
  const fresh = async () => within(await id("new-window")).getByRole("checkbox");
  await userEvent.click(await id("source-menu"));
  expect(await fresh()).not.toBeChecked();
  await userEvent.keyboard("{Escape}{Control>}{Shift>}n{/Shift}{/Control}");
  expect(await fresh()).toBeChecked();
});

it("says which contexts other windows have", async () => {
  const [file] = example.kubeconfigs;
  const contexts = (file?.contexts ?? []).map((each, index) => ({ ...each, elsewhere: index === 1 }));
  app.answers.list_kubeconfigs = () => [{ ...file, contexts }];
  await openMenu();
  const rows = await screen.findAllByTestId("context");
  expect(rows.map((row) => within(row).queryByTestId("elsewhere") !== null)).toEqual([false, true]);
});

it("says in Overview and Policy what may not be seen", async () => {
  const unseen = ["Only what is in the namespace shop is visible.", "Gateway is visible nowhere."];
  await openCluster({ unseen });
  for (const screen of ["overview", "policy"]) {
    await userEvent.click(await id(`rail-${screen}`));
    for (const sentence of unseen) expect(await id("unseen")).toHaveTextContent(sentence);
  }
});

it("takes a mode that it cannot read for no fact", async () => {
  const mesh = { scope: "mesh", mode: "ALLOW_ANY", written: null, object: null };
  app.answers.overview = () => ({ ...example.overview, modes: [mesh] });
  await openCluster();
  expect(await screen.findByText(/not known: no ConfigMap istio can be read; ALLOW_ANY is assumed/)).toBeVisible();
});

it("remembers the namespaces that a person names for a context, and looks again", async () => {
  await openMenu();
  await userEvent.click((await screen.findAllByTestId("look"))[1] as HTMLElement);
  expect(await id("name-namespaces")).toBeDisabled();
  await userEvent.type(await id("named-namespaces"), "shop pay");
  await userEvent.click(await id("name-namespaces"));
  expect(app.asked("name_namespaces")).toEqual([{ file: "default", name: "eu-prod", namespaces: ["shop", "pay"] }]);
  await vi.waitFor(() => expect(app.asked("context_facts")).toHaveLength(2));
});

it("keeps editing off where nothing may be changed, and names the permission", async () => {
  await openCluster({ lockedBecause: "Change services: needs patch serviceentries.networking.istio.io." });
  const editing = await id("editing");
  expect(editing).toBeDisabled();
  expect(editing).toHaveAttribute("title", expect.stringContaining("needs patch serviceentries"));
});

it("names each permission that is missing in the menu, with the Role to copy", async () => {
  const user = userEvent.setup();
  await openCluster();
  await user.click(await id("source-menu"));
  const rights = await screen.findAllByTestId("right");
  expect(rights.map((each) => each.textContent)).toEqual([
    expect.stringContaining("See the policy yes"),
    expect.stringContaining("yes"),
    expect.stringContaining("in default"),
    expect.stringContaining("needs get, patch configmaps in istio-system"),
    expect.stringContaining("needs get, create pods/exec in all namespaces"),
  ]);
  const copies = await screen.findAllByRole("button", { name: /^Copy Role YAML/ });
  expect(copies).toHaveLength(2);
  await user.click(copies[0] as HTMLElement);
  expect(await window.navigator.clipboard.readText()).toContain("kind: Role");
});

it("sends no request from a pod where that is not allowed, and says what is missing", async () => {
  app.answers.sandbox_state = () => ({ ...example.sandbox, state: "stopped" });
  await openCluster();
  await userEvent.click(await id("rail-sandbox"));
  expect(await id("needs")).toHaveTextContent("needs get, create pods/exec in default");
  expect(await id("console-send")).toBeDisabled();
});

it("offers the Role where Review lacks a permission", async () => {
  const user = userEvent.setup();
  const edit = { kind: "mode", scope: "mesh", mode: "REGISTRY_ONLY" } as const;
  const staged = [{ id: 1, edit, title: "Mode", at: "2026-11-23T14:00:00Z" }];
  const review: Review = {
    edits: staged,
    diffs: example.diffs,
    impact: example.impact,
    findings: [],
    conflicts: [],
    owners: [],
    warnings: [],
    changesMode: false,
    applicable: false,
    blockedBecause: "Applying needs patch configmaps in istio-system.",
    role: "kind: Role\n",
  };
  app.answers.staged = () => staged;
  app.answers.review = () => review;
  await openCluster();
  await user.click(await id("review-open"));
  expect(await id("blocked-because")).toHaveTextContent("needs patch configmaps");
  expect(await id("apply")).toBeDisabled();
  await user.click(await id("copy-role"));
  expect(await window.navigator.clipboard.readText()).toBe("kind: Role\n");
});
