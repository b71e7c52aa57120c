/** The image on its way to the nodes: the ways that can work, how far it is, and the checks again. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import App from "../../App.svelte";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { navigation } from "../../state/navigation.svelte";

let app: Recording;

beforeEach(() => {
  app = record();
});

const id = (name: string) => screen.findByTestId(name);

/** The ways, after the checks. */
async function open(editing: boolean) {
  app.answers.source_state = () => example.clusterWith({ editing });
  navigation.go("sandbox");
  render(App);
  await userEvent.click(await id("sandbox-cluster"));
  await vi.waitFor(async () => expect(await id("deploy-image")).toHaveValue(example.deployImage));
  await userEvent.click(await id("deploy-check-all"));
  await userEvent.click(await id("deliver-open"));
}

it("goes the way of the cluster's own tool, and checks again once the image is there", async () => {
  await open(true);
  expect(await id("deliver-ask")).toHaveTextContent("kind load image-archive egret-proxy.tar --name dev");
  await userEvent.click(await id("deliver-start"));
  expect(app.asked("deliver")).toEqual([{ way: "kind", reference: "" }]);
  await vi.waitFor(() => expect(app.asked("deploy_checks")).toHaveLength(2));
  expect(await id("delivery")).toHaveTextContent(`The nodes have ${example.deployImage}.`);
  expect(screen.queryByTestId("deliver-ask")).toBeNull();
});

it("pushes to a registry, also while editing is off, and the image is then the one that was pushed, by its digest", async () => {
  await open(false);
  expect(await id("deliver-start")).toBeDisabled();
  expect(await id("deliver-refused")).toHaveTextContent("Editing is switched off");
  await userEvent.click(await id("deliver-registry"));
  expect(await id("deliver-refused")).toHaveTextContent("Name the registry");
  await userEvent.type(await id("deliver-reference"), " ghcr.io/team/egret-proxy:1 ");
  await userEvent.click(await id("deliver-start"));
  expect(app.asked("deliver")).toEqual([{ way: "registry", reference: "ghcr.io/team/egret-proxy:1" }]);
  const image = "ghcr.io/team/egret-proxy@sha256:116550de2e5a813264fad79ee01602e1";
  await vi.waitFor(async () => expect(await id("deploy-image")).toHaveValue(image));
  await vi.waitFor(() => expect(app.asked("deploy_checks").at(-1)).toMatchObject({ options: { image } }));
});

it("shows how far it is, can be called off, and says why it came to nothing", async () => {
  let end: (state: unknown) => void = () => undefined;
  app.answers.deliver = () => new Promise((resolve) => (end = resolve));
  await open(true);
  await userEvent.click(await id("deliver-registry"));
  await userEvent.type(await id("deliver-reference"), "ghcr.io/team/p:1");
  await userEvent.click(await id("deliver-start"));
  const running = { ...example.noDelivery, phase: "running" as const, way: "registry" as const };
  app.tell("delivery-changed", { ...running, text: "pushed to ghcr.io/team/p:1", sent: 7_000_000, total: 14_000_000 });
  expect(await id("delivery")).toHaveTextContent("Pushed to ghcr.io/team/p:1: 7");
  expect(screen.getByRole("progressbar")).toHaveAttribute("value", "7000000");
  expect(screen.queryByTestId("deliver-start")).toBeNull();
  // It is seen, and can be called off, also where something else is chosen meanwhile.
  await userEvent.click(await id("deploy-place-workload"));
  await userEvent.click(await id("deliver-cancel"));
  expect(app.asked("deliver_cancel")).toHaveLength(1);
  const fault = { code: "stopped", message: "You called it off.", hint: null, at: null };
  end({ ...running, phase: "failed", fault });
  await userEvent.click(await id("deploy-check-all"));
  expect(await id("delivery")).toHaveTextContent("You called it off.");
  expect(await id("deliver-start")).toBeEnabled();
  expect(app.asked("deploy_checks")).toHaveLength(2);
});

it("says what a way lacks, and keeps its command to copy", async () => {
  const refused = "kind is not installed on this computer, or not in PATH.";
  const deliveries = example.deliveries.map((each) => (each.way === "kind" ? { ...each, refused } : each));
  app.answers.deploy_checks = () => ({ ...example.deployChecks, deliveries });
  await open(true);
  // What can be gone comes first.
  expect(await id("deliver-registry")).toHaveAttribute("aria-pressed", "true");
  await userEvent.click(await id("deliver-kind"));
  expect(await id("deliver-refused")).toHaveTextContent(refused);
  expect(await id("deliver-start")).toBeDisabled();
  expect(await id("deliver-ask")).toHaveTextContent("kind load image-archive egret-proxy.tar --name dev");
});
