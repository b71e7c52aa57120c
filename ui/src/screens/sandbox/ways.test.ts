/** Sending from a cluster: what was expected stands beside what happened, and nothing is made without a yes. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import App from "../../App.svelte";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { standin } from "../../bridge/standin";
import { testConsole } from "../../state/console.svelte";
import { navigation } from "../../state/navigation.svelte";
import { probe } from "../../state/probe.svelte";

let app: Recording;

beforeEach(() => {
  app = record({ empty: true });
});

const id = (name: string) => screen.findByTestId(name);

/** The Sandbox of a cluster. */
async function open(editing: boolean) {
  app.answers.source_state = () => example.clusterWith({ editing });
  navigation.go("sandbox");
  render(App);
  await id("way-container");
}

it("adds nothing while editing is switched off, and says that a container stays", async () => {
  await open(false);
  await userEvent.click(await id("way-container"));
  expect(await id("probe-ask")).toHaveTextContent("cannot be taken away again");
  expect(await id("probe-missing")).toHaveTextContent("Editing is switched off");
  expect(await id("probe-yes")).toBeDisabled();
});

it("adds a container of the image that a person names, after a yes", async () => {
  await open(true);
  await userEvent.click(await id("way-container"));
  await userEvent.clear(await id("probe-image"));
  await userEvent.type(await id("probe-image"), "registry.corp/curl:8");
  expect(app.asked("probe_container")).toEqual([]);
  await userEvent.click(await id("probe-yes"));
  await vi.waitFor(() => expect(app.asked("probe_container")).toEqual([{ workload: "default/sleep" }]));
  expect(app.asked("probe_image")).toEqual([{ image: "registry.corp/curl:8" }]);
  await vi.waitFor(() => expect(screen.queryByTestId("probe-ask")).toBeNull());
});

it("names the right that is missing for a probe", async () => {
  await open(true);
  await userEvent.click(await id("way-deployment"));
  await vi.waitFor(async () => expect(await id("probe-missing")).toHaveTextContent("You may not create deployments"));
  expect(await id("probe-yes")).toBeDisabled();
});

it("sends from a probe that is left over, and says why it could not be removed", async () => {
  app.answers.probes = () => [example.probeIn("shop")];
  app.answers.probe_remove = () => {
    throw { code: "forbidden", message: "You may not delete it.", hint: "Ask.", at: null };
  };
  await open(true);
  expect(await id("probe-row")).toHaveTextContent("A probe of Egret runs in shop.");
  await userEvent.click(await id("probe-use"));
  await userEvent.click(await id("console-send"));
  await vi.waitFor(() => expect(app.asked("send_request")[0]).toMatchObject({ pod: "shop/egret-probe" }));
  await userEvent.click(await id("probe-remove"));
  expect(await id("error-banner")).toHaveTextContent("You may not delete it. Ask.");
  expect(await id("probe-row")).toBeInTheDocument();
});

it("shows what was expected beside what happened, the difference, and the sidecar's own line", async () => {
  const result = (await standin({ empty: false }).call("send_request", {
    method: "GET",
    url: "http://a.com/",
  })) as object;
  const finding = { level: "warning", message: "Expected 502.", hint: "Restart the workload." };
  app.answers.send_request = () => ({
    ...result,
    expectation: { ...example.expectation, finding },
    limits: "By wget.",
  });
  await open(false);
  await userEvent.click(await id("console-send"));
  expect(await id("console-expected")).toHaveTextContent("reaches the site");
  expect(await id("console-finding")).toHaveTextContent("Expected 502. Restart the workload.");
  expect(await id("console-line")).toHaveTextContent("PassthroughCluster");
  expect(await id("console-limits")).toHaveTextContent("By wget.");
});

it("says what is waited for, and stops waiting when a person has waited enough", async () => {
  await open(true);
  app.tell("probe-changed", { step: "Waiting for the node to fetch curl:8…" });
  expect(await id("probe-step")).toHaveTextContent("Waiting for the node to fetch curl:8…");
  await userEvent.click(await id("probe-stop"));
  expect(app.asked("probe_cancel")).toHaveLength(1);
  app.tell("probe-changed", { step: null });
  await vi.waitFor(() => expect(screen.queryByTestId("probe-step")).toBeNull());
});

it("tells of a probe that an earlier session left when its cluster is opened", async () => {
  app.answers.probes = () => [example.probeIn("shop")];
  render(App);
  await id("overview-sentence");
  app.tell("source-changed", example.clusterSource("eu-prod"));
  expect(await id("toast")).toHaveTextContent("A probe of Egret is left in shop.");
  await userEvent.click(screen.getByText("Open Sandbox"));
  expect(await id("screen-sandbox")).toBeInTheDocument();
});

it("tells of a probe that is left in a window that was opened with its cluster", async () => {
  app.answers.probes = () => [example.probeIn("shop")];
  app.answers.source_state = () => example.clusterSource("eu-prod");
  render(App);
  expect(await id("toast")).toHaveTextContent("A probe of Egret is left in shop.");
});

it("tells nothing in one place of what became of a probe in the place before", async () => {
  let fail: (error: unknown) => void = () => {};
  app.answers.probe_remove = () => new Promise((_, no) => (fail = no));
  const removed = probe.remove("shop");
  await probe.turnsToPlace(false);
  expect(probe.busy).toBe(false);
  fail({ code: "away", message: "no answer", hint: null, at: null });
  expect(await removed).toBe(false);
  expect(probe.fault).toBeNull();
});

it("sends nothing again through a sandbox that has ended", async () => {
  await open(true);
  await testConsole.send("GET", "http://a.com/");
  const again = await screen.findByRole("button", { name: "Again" });
  expect(again).toBeDisabled();
  expect(again).toHaveAttribute("title", expect.stringContaining("Start the sandbox first"));
});
