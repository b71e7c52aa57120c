/** The journal's entries: one that was cut short, one that is a note, and what can be tried after a change. */
import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import App from "../../App.svelte";
import type { JournalEntry } from "../../bridge/bindings";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";

let app: Recording;
const id = (name: string) => screen.findByTestId(name);
const applied = example.journal[0] as JournalEntry;

beforeEach(() => {
  app = record();
});

async function show(entry: Partial<JournalEntry>) {
  app.answers.journal = () => [{ ...applied, ...entry }];
  app.answers.settle_change = () => applied;
  render(App);
  await userEvent.click(await id("rail-changes"));
}

const half: Partial<JournalEntry> = {
  undoable: false,
  cutShort: [
    { file: "ServiceEntry/shop.a.yaml", holds: "new" },
    { file: "ServiceEntry/shop.b.yaml", holds: "old" },
  ],
};

it("says what each object of a change that was cut short holds, and finishes it or goes back", async () => {
  await show(half);
  const rows = within(await id("stands")).getAllByRole("row");
  expect(rows[1]).toHaveTextContent("ServiceEntry/shop.a.yamlthe new version");
  expect(rows[2]).toHaveTextContent("ServiceEntry/shop.b.yamlwhat it was before");
  expect(await id("journal-row")).toHaveTextContent("cut short");
  await userEvent.click(await id("finish-change"));
  await userEvent.click(await id("go-back"));
  expect(app.asked("settle_change")).toEqual([
    { id: applied.id, side: "new" },
    { id: applied.id, side: "old" },
  ]);
  expect(screen.queryByTestId("undo-entry")).toBeNull();
});

it("settles nothing while another hand's version of an object would be lost", async () => {
  await show({ ...half, cutShort: [{ file: "ServiceEntry/shop.a.yaml", holds: "other" }] });
  expect(await id("finish-change")).toBeDisabled();
  expect(await id("go-back")).toBeDisabled();
});

it("says what was left when a change was taken back by itself", async () => {
  await show({ undone: true, reverted: true, undoable: false, kept: ["ServiceEntry/shop.a.yaml"] });
  expect(await id("journal-row")).toHaveTextContent("taken back by itself, but for 1");
  expect(await id("kept")).toHaveTextContent("ServiceEntry/shop.a.yaml: another hand changed it");
});

it("shows a restart as a note, with what came of each workload, and offers no undo", async () => {
  await show({
    title: "Restart 2 workloads",
    files: [],
    diffs: [],
    undoable: false,
    notes: ["a: all new", "b: failed"],
  });
  const notes = within(await id("notes")).getAllByRole("listitem");
  expect(notes.map((note) => note.textContent)).toEqual(["a: all new", "b: failed"]);
  expect(screen.queryByTestId("undo-entry")).toBeNull();
});

it("says what undoing did not bring back, beside the diff", async () => {
  await show({ undone: true, undoable: false, notes: ["ServiceEntry a is made without its owner Deployment b."] });
  expect(await id("notes")).toHaveTextContent("without its owner Deployment b");
  expect(await id("journal-row")).toHaveTextContent(applied.files[0] ?? "");
  expect(screen.getAllByTestId("diff-file").length).toBeGreaterThan(0);
});

it("offers a test request where the change would be met", async () => {
  await show({ tries: ["https://a.com/"] });
  await userEvent.click(await id("try-change"));
  expect(await id("screen-sandbox")).toBeInTheDocument();
  expect(screen.getByDisplayValue("https://a.com/")).toBeInTheDocument();
});

it("stages the way back of what Egret left, but for what is left out and what another hand changed", async () => {
  const left = [
    {
      file: "ConfigMap/istio-system.istio.yaml",
      removes: false,
      because: ["Mode REGISTRY_ONLY for mesh"],
      keptBecause: null,
    },
    { file: "ServiceEntry/shop.a.yaml", removes: true, because: ["ServiceEntry shop/a"], keptBecause: null },
    { file: "ServiceEntry/shop.b.yaml", removes: true, because: ["ServiceEntry shop/b"], keptBecause: "another hand" },
  ];
  app.answers.leftovers = () => left;
  render(App);
  await userEvent.click(await id("rail-changes"));
  await userEvent.click(await id("cleanup-open"));
  const rows = await screen.findAllByTestId("cleanup-row");
  expect(rows[2]).toHaveTextContent("another hand");
  expect(within(rows[2] as HTMLElement).getByRole("checkbox")).toBeDisabled();
  await userEvent.click(within(rows[1] as HTMLElement).getByRole("checkbox"));
  await userEvent.click(await id("cleanup-stage"));
  expect(app.asked("stage_cleanup")).toEqual([{ files: ["ConfigMap/istio-system.istio.yaml"] }]);
  expect(await id("screen-review")).toBeInTheDocument();
});

it("does not say that nothing is left while sidecars stand in the cluster", async () => {
  app.answers.source_state = () => example.clusterWith({ editing: true });
  app.answers.leftovers = () => [];
  app.answers.deploy_left = () => [
    { session: "s1", namespace: "shop", workload: "Deployment shop/cart", since: null, objects: ["Deployment/x"] },
  ];
  render(App);
  await userEvent.click(await id("rail-changes"));
  await userEvent.click(await id("cleanup-open"));
  expect(await id("deploy-left")).toHaveTextContent("Deployment shop/cart");
  expect(screen.queryByTestId("cleanup-empty")).toBeNull();
  app.answers.deploy_left = () => [];
  await userEvent.click(await id("deploy-left-remove"));
  expect(app.asked("deploy_remove")).toEqual([{ namespace: "shop", session: "s1" }]);
  expect(await id("cleanup-empty")).toBeInTheDocument();
});

it("says why a sidecar that is left could not be removed", async () => {
  app.answers.source_state = () => example.clusterWith({ editing: true });
  app.answers.deploy_left = () => [example.leftIn("shop")];
  app.answers.deploy_remove = () => {
    throw { code: "forbidden", message: "You may not delete it.", hint: null, at: null };
  };
  render(App);
  await userEvent.click(await id("rail-changes"));
  await userEvent.click(await id("cleanup-open"));
  await userEvent.click(await id("deploy-left-remove"));
  expect(await screen.findByText("You may not delete it.")).toBeInTheDocument();
  expect(await id("deploy-left-remove")).toBeEnabled();
});

it("takes no probe away while editing is off, and says so", async () => {
  app.answers.source_state = () => example.clusterWith({ editing: false });
  app.answers.leftovers = () => [];
  app.answers.probes = () => [example.probeIn("shop")];
  render(App);
  await userEvent.click(await id("rail-changes"));
  await userEvent.click(await id("cleanup-open"));
  const remove = within(await id("cleanup-probe")).getByRole("button", { name: "Remove" });
  expect(remove).toBeDisabled();
  expect(remove).toHaveAttribute("title", expect.stringContaining("Editing is switched off"));
});

it("names the sidecar that runs in the cluster among what is left", async () => {
  app.answers.source_state = () => example.clusterWith({});
  app.answers.leftovers = () => [];
  app.answers.deploy_state = () => example.deployed;
  render(App);
  await userEvent.click(await id("rail-changes"));
  await userEvent.click(await id("cleanup-open"));
  expect(await id("cleanup-deployed")).toHaveTextContent(example.deployed.standsIn);
  expect(screen.queryByTestId("cleanup-empty")).toBeNull();
});

it("keeps time and number of files apart", async () => {
  await show({ files: ["a.yaml"] });
  expect(await screen.findByText(/:\d\d · 1 file$/)).toBeVisible();
});
