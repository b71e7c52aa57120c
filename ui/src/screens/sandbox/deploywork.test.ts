/** While a deployment is worked at: what is under way is seen, ends with its place, and what fails is told. */
import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import App from "../../App.svelte";
import type { DeployState } from "../../bridge/bindings";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { deploy, deployment } from "../../state/deploy.svelte";
import { navigation } from "../../state/navigation.svelte";
import { workloads } from "../../state/store.svelte";

let app: Recording;
const starting: DeployState = { ...example.deployed, phase: "starting", steps: [] };

beforeEach(() => {
  app = record();
  app.answers.source_state = () => example.clusterWith({ editing: true });
});

const id = (name: string) => screen.findByTestId(name);
const fails = (message: string) => () => {
  throw { code: "away", message, hint: null, at: null };
};

async function open() {
  navigation.openSandbox("cluster");
  render(App);
  await waitFor(async () => expect(await id("deploy-image")).toHaveValue(example.deployImage));
}

it("leaves the image's field to who empties it", async () => {
  await open();
  await userEvent.clear(await id("deploy-image"));
  await new Promise((done) => setTimeout(done));
  expect(await id("deploy-image")).toHaveValue("");
  expect(app.asked("deploy_image")).toHaveLength(1);
});

it("tells nothing in one place of what became of a start in the place before", async () => {
  let fail: (error: unknown) => void = () => {};
  app.answers.deploy_start = () => new Promise((_, no) => (fail = no));
  const started = deploy.start({ kind: "Deployment", workload: "shop/cart" });
  await deploy.turnsToPlace(false);
  expect(deploy.busy).toBe(false);
  fail({ code: "turned", message: "The window has turned to another place.", hint: null, at: null });
  await started;
  expect(deploy.fault).toBeNull();
});

it("shows the policy that the sidecar has where another could not be brought to it", async () => {
  app.answers.deploy_state = () => example.deployed;
  await open();
  app.answers.deploy_staged = fails("no answer");
  await userEvent.click(await id("deploy-staged-true"));
  expect(await screen.findByText("no answer")).toBeInTheDocument();
  expect(await id("deploy-staged-false")).toHaveAttribute("aria-pressed", "true");
});

it("shows that it is called off, and asks for it once", async () => {
  app.answers.deploy_state = () => starting;
  await open();
  await userEvent.click(await id("deploy-cancel"));
  expect(await id("deploy-cancel")).toBeDisabled();
  expect(await id("deploy-cancel")).toHaveTextContent("Called off…");
  app.tell("deploy-changed", example.deployed);
  await userEvent.click(await id("deploy-stop"));
  app.tell("deploy-changed", starting);
  await waitFor(async () => expect(await id("deploy-cancel")).toBeEnabled());
});

it("says that it is checked once more between Start and the first step", async () => {
  app.answers.deploy_start = () => new Promise(() => {});
  await open();
  await userEvent.click(await id("deploy-check-all"));
  await userEvent.click(await id("deploy-start"));
  expect(await id("deploy-at-work")).toHaveTextContent("It is checked once more, and started.");
});

it("tells the state of each step in words too", async () => {
  app.answers.deploy_state = () => example.deployed;
  await open();
  for (const step of await screen.findAllByTestId("deploy-step")) expect(step).toHaveTextContent("Done");
});

it("shows that what is left is being removed, also after another screen was open", async () => {
  app.answers.deploy_left = () => [example.leftIn("shop")];
  app.answers.deploy_remove = () => new Promise(() => {});
  await open();
  await userEvent.click(await id("deploy-left-remove"));
  navigation.go("overview");
  await screen.findByTestId("screen-overview");
  navigation.openSandbox("cluster");
  expect(await id("deploy-left-remove")).toBeDisabled();
  expect(await id("deploy-left-remove")).toHaveTextContent("Removing…");
});

it("says why it cannot tell what is deployed, and shows no sandbox in its place", async () => {
  app.answers.deploy_state = fails("the app is busy");
  navigation.openSandbox("cluster");
  render(App);
  expect(await screen.findByText("the app is busy")).toBeInTheDocument();
  expect(screen.queryByTestId("sandbox-state")).toBeNull();
  delete app.answers.deploy_state;
  await deployment.refresh();
  expect(await id("deploy-state")).toBeInTheDocument();
});

it("says why workloads are not known, rather than that there are none", async () => {
  app.answers.workloads = fails("no answer of the API server");
  navigation.openSandbox("cluster");
  render(App);
  expect(await screen.findByText("no answer of the API server")).toBeInTheDocument();
  delete app.answers.workloads;
  await workloads.refresh();
  await waitFor(() => expect(screen.queryByText("no answer of the API server")).toBeNull());
});
