/** A sidecar beside a workload of the cluster: nothing is started that was not checked, and everything is taken away. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import App from "../../App.svelte";
import type { DeployCheck, DeployState } from "../../bridge/bindings";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { navigation } from "../../state/navigation.svelte";
import { workloads } from "../../state/store.svelte";

let app: Recording;

beforeEach(() => {
  app = record();
});

const id = (name: string) => screen.findByTestId(name);

/** "Cluster workload" of the Sandbox. */
async function open(editing: boolean) {
  app.answers.source_state = () => example.clusterWith({ editing });
  navigation.go("sandbox");
  render(App);
  await userEvent.click(await id("sandbox-cluster"));
  await vi.waitFor(async () => expect(await id("deploy-image")).toHaveValue(example.deployImage));
}

it("is not offered where a folder is open: it has no workloads that run", async () => {
  navigation.go("sandbox");
  render(App);
  await id("sandbox-state");
  expect(screen.queryByTestId("sandbox-cluster")).toBeNull();
});

it("checks what is chosen before anything can be started", async () => {
  await open(true);
  expect(await id("deploy-start")).toBeDisabled();
  await userEvent.selectOptions(await id("deploy-target"), "StatefulSet shop/cart");
  await userEvent.click(await id("deploy-mode-enforce"));
  await userEvent.click(await id("deploy-check-all"));
  const options = {
    kind: "StatefulSet",
    workload: "shop/cart",
    mode: "enforce",
    place: "copy",
    way: "capture",
    dns: "workload",
  };
  expect(app.asked("deploy_checks")).toEqual([{ options: { ...options, staged: false, image: example.deployImage } }]);
  const checks = await screen.findAllByTestId("deploy-check");
  expect(checks.map((each) => each.dataset.outcome)).toEqual(["fine", "unknown", "warning"]);
  expect(checks[1]).toHaveTextContent("kind load image-archive");
  expect(app.asked("deploy_start")).toEqual([]);
  expect(await id("deploy-start")).toBeEnabled();
});

it("starts nothing beside a workload that was not checked itself", async () => {
  await open(true);
  await userEvent.selectOptions(await id("deploy-target"), "StatefulSet shop/cart");
  await userEvent.click(await id("deploy-check-all"));
  await vi.waitFor(async () => expect(await id("deploy-start")).toBeEnabled());
  // What was chosen is gone: another one stands in its place.
  app.answers.workloads = () => example.workloads.filter((each) => each.name !== "shop/cart");
  await workloads.refresh();
  await vi.waitFor(async () => expect(await id("deploy-start")).toBeDisabled());
  expect(screen.queryByTestId("deploy-check")).toBeNull();
});

it("says what comes first, and offers it where nothing was checked", async () => {
  await open(true);
  expect(await id("deploy-unchecked")).toHaveTextContent("Check first");
  await userEvent.click(await id("deploy-check-idle"));
  expect(await screen.findAllByTestId("deploy-check")).toHaveLength(3);
  for (const control of ["deploy-unchecked", "deploy-check-idle"]) expect(screen.queryByTestId(control)).toBeNull();
});

it("leaves DNS to the workload's configuration, unless something else is chosen, and captures it by redirection alone", async () => {
  await open(true);
  expect(await id("deploy-dns-workload")).toHaveAttribute("aria-pressed", "true");
  await userEvent.click(await id("deploy-dns-on"));
  expect(await screen.findByText(/DNS over TLS or HTTPS is not seen/)).toBeInTheDocument();
  await userEvent.click(await id("deploy-check-all"));
  await userEvent.click(await id("deploy-way-proxy"));
  expect(await id("deploy-dns-workload")).toHaveAttribute("aria-pressed", "true");
  expect(await id("deploy-dns-on")).toBeDisabled();
  expect(await id("deploy-dns-on")).toHaveAttribute("title", "Only redirection leads DNS to the sidecar.");
  await userEvent.click(await id("deploy-dns-off"));
  await userEvent.click(await id("deploy-check-all"));
  expect(app.asked("deploy_checks")).toMatchObject([
    { options: { way: "capture", dns: "on" } },
    { options: { way: "proxy", dns: "off" } },
  ]);
});

it("forgets what the checks found when something else is chosen", async () => {
  await open(true);
  await userEvent.click(await id("deploy-check-all"));
  expect(await id("deploy-start")).toBeEnabled();
  await userEvent.click(await id("deploy-place-workload"));
  expect(await id("deploy-start")).toBeDisabled();
  expect(screen.queryByTestId("deploy-check")).toBeNull();
});

it("says by which labels what is added is found, and how it goes", async () => {
  await open(true);
  await userEvent.click(await id("deploy-check-all"));
  expect(await id("deploy-marked")).toHaveTextContent("Both carry app.kubernetes.io/managed-by=egret");
  await userEvent.click(await id("deploy-place-workload"));
  await userEvent.click(await id("deploy-check-all"));
  expect(await id("deploy-marked")).toHaveTextContent("the workload and its pods egret.dev/session only");
  expect(await id("deploy-marked")).toHaveTextContent("does not wait to look");
});

it("adds it to a running pod with the rights that this takes, and says what stays", async () => {
  await open(true);
  await userEvent.click(await id("deploy-place-pod"));
  expect(await screen.findByText(/two ended containers stay in the pod's spec/)).toBeInTheDocument();
  expect(screen.getByText(/for one ephemeral container/)).toBeInTheDocument();
  await userEvent.click(await id("deploy-check-all"));
  expect(app.asked("deploy_checks")).toMatchObject([{ options: { place: "pod" } }]);
  expect(await id("deploy-marked")).toHaveTextContent("the pod egret.dev/session while the sidecar runs");
});

it("offers a running pod no variables, which its program would not see", async () => {
  await open(true);
  await userEvent.click(await id("deploy-way-proxy"));
  await userEvent.click(await id("deploy-place-pod"));
  expect(await id("deploy-way-proxy")).toBeDisabled();
  expect(await id("deploy-way-proxy")).toHaveAttribute("title", expect.stringContaining("keeps the variables"));
  await userEvent.click(await id("deploy-check-all"));
  expect(app.asked("deploy_checks")).toMatchObject([{ options: { place: "pod", way: "capture" } }]);
});

it("says where what is left could not be looked for", async () => {
  app.answers.deploy_left = () => {
    throw { code: "cluster", message: "The API server does not answer.", hint: null, at: null };
  };
  await open(true);
  expect(await screen.findByText("The API server does not answer.")).toBeInTheDocument();
});

it("starts nothing that a check refuses, and gives the Role where a right is missing", async () => {
  const refused: DeployCheck = {
    title: "Permissions",
    outcome: "refused",
    text: "This needs create configmaps in default.",
    advice: null,
    command: null,
  };
  app.answers.deploy_checks = () => ({ ...example.deployChecks, checks: [refused], refused: refused.text });
  await open(true);
  await userEvent.click(await id("deploy-check-all"));
  expect(await id("deploy-check")).toHaveTextContent("Not possible");
  expect(await id("copy-role")).toBeInTheDocument();
  expect(await id("deploy-start")).toBeDisabled();
  expect(await id("deploy-start")).toHaveAttribute("title", refused.text);
});

it("starts nothing while editing is switched off", async () => {
  await open(false);
  await userEvent.click(await id("deploy-check-all"));
  await screen.findAllByTestId("deploy-check");
  expect(await id("deploy-start")).toBeDisabled();
  expect((await id("deploy-start")).title).toContain("Editing is switched off");
});

it("runs through its steps, shows what the sidecar has, and says what became of it", async () => {
  await open(true);
  await userEvent.click(await id("deploy-check-all"));
  await userEvent.click(await id("deploy-start"));
  await vi.waitFor(async () => expect(await id("deploy-state")).toHaveAttribute("data-state", "running"));
  const steps = await screen.findAllByTestId("deploy-step");
  expect(steps.map((each) => each.dataset.state)).toEqual(["done", "done", "done"]);
  expect(await id("deploy-pod")).toHaveTextContent("8c1f02a7be00d1aa, no. 1, mounted");
  expect(await id("deploy-flows")).toHaveTextContent("9 flows");
  await vi.waitFor(() =>
    expect(app.asked("log_page").some(({ query }) => (query as { text: string }).text === "session:3f9a1c07")).toBe(
      true,
    ),
  );
  expect(await id("deploy-target")).toBeDisabled();
  await userEvent.click(await id("deploy-stop"));
  expect(await id("deploy-ended")).toHaveTextContent("The copy and its policy are gone.");
});

it("brings the change set to a sidecar that runs", async () => {
  app.answers.deploy_state = () => example.deployed;
  await open(true);
  await userEvent.click(await id("deploy-staged-true"));
  expect(app.asked("deploy_staged")).toEqual([{ staged: true }]);
});

it("shows what it waits for, can be called off, and says why it came to nothing", async () => {
  const starting: DeployState = {
    ...example.deployed,
    phase: "starting",
    pods: [],
    steps: [
      { title: "Bring the policy", state: "done", text: "" },
      { title: "Start the sidecar", state: "doing", text: "0 of 1 pods; waits for the node to fetch egret-proxy" },
      { title: "See traffic", state: "waiting", text: "" },
    ],
  };
  await open(true);
  app.tell("deploy-changed", starting);
  expect((await screen.findAllByTestId("deploy-step"))[1]).toHaveTextContent("waits for the node to fetch egret-proxy");
  await userEvent.click(await id("deploy-cancel"));
  expect(app.asked("deploy_cancel")).toHaveLength(1);
  const fault = { code: "stopped", message: "You called it off.", hint: "Everything was taken away again.", at: null };
  app.tell("deploy-changed", { ...starting, phase: "failed", fault });
  expect(await id("error-banner")).toHaveTextContent("You called it off. Everything was taken away again.");
  expect(await id("deploy-check-all")).toBeEnabled();
});

it("tells of what a killed app left when its cluster is opened, and removes it with editing on", async () => {
  app.answers.deploy_left = () => [example.leftIn("shop")];
  app.answers.source_state = () => example.clusterWith({ editing: true });
  render(App);
  await id("overview-sentence");
  app.tell("source-changed", example.clusterWith({ editing: true }));
  expect(await id("toast")).toHaveTextContent("A sidecar of an earlier session is left");
  await userEvent.click(screen.getByText("Open Sandbox"));
  expect(await id("deploy-left")).toHaveTextContent("a sidecar in Deployment cart");
  await userEvent.click(await id("deploy-left-remove"));
  expect(app.asked("deploy_remove")).toEqual([{ namespace: "shop", session: "ab12cd34" }]);
});

it("is started once, however often Start is clicked while it is checked again", async () => {
  app.answers.deploy_start = () => new Promise(() => undefined);
  await open(true);
  await userEvent.click(await id("deploy-check-all"));
  await userEvent.click(await id("deploy-start"));
  for (const control of ["deploy-start", "deploy-check-all", "deploy-target"]) expect(await id(control)).toBeDisabled();
  app.tell("deploy-changed", { ...example.deployed, phase: "starting" });
  expect(await id("deploy-cancel")).toBeEnabled();
  expect(app.asked("deploy_start")).toHaveLength(1);
});

it("says why Stop came to nothing", async () => {
  app.answers.deploy_state = () => example.deployed;
  app.answers.deploy_stop = () => {
    throw { code: "busy", message: "A sidecar is being started or removed.", hint: "Wait for it.", at: null };
  };
  await open(true);
  await userEvent.click(await id("deploy-stop"));
  expect(await id("error-banner")).toHaveTextContent("A sidecar is being started or removed. Wait for it.");
  expect(await id("deploy-stop")).toBeEnabled();
});

it("keeps nothing of the checks once a start has touched the cluster", async () => {
  const fault = { code: "image", message: "The image cannot be fetched.", hint: null, at: null };
  app.answers.deploy_start = () => ({ ...example.deployed, phase: "failed", pods: [], fault });
  await open(true);
  await userEvent.click(await id("deploy-check-all"));
  expect(await screen.findAllByTestId("deploy-check")).toHaveLength(3);
  await userEvent.click(await id("deploy-start"));
  expect(await id("error-banner")).toHaveTextContent("The image cannot be fetched.");
  expect(await screen.findAllByTestId("deploy-step")).toHaveLength(3);
  expect(screen.queryByTestId("deploy-check")).toBeNull();
  expect(await id("deploy-start")).toBeDisabled();
  // What is found anew stands under the steps of the last try.
  await userEvent.click(await id("deploy-check-all"));
  expect(await screen.findAllByTestId("deploy-check")).toHaveLength(3);
  expect(await id("deploy-start")).toBeEnabled();
});

it("offers what a Stop left once the cluster can be asked again", async () => {
  const away = { code: "cluster", message: "The API server is away.", hint: null, at: null };
  const fault = {
    code: "left",
    message: "The sidecar was removed; its policy could not be deleted.",
    hint: null,
    at: null,
  };
  app.answers.deploy_state = () => example.deployed;
  app.answers.deploy_stop = () => ({ ...example.deployed, phase: "failed", pods: [], fault });
  await open(true);
  app.answers.deploy_left = () => {
    throw away;
  };
  await userEvent.click(await id("deploy-stop"));
  expect(await id("error-banner")).toHaveTextContent("The sidecar was removed; its policy could not be deleted.");
  expect(await id("deploy-state")).toHaveTextContent("No sidecar runs");
  await vi.waitFor(() => expect(app.asked("deploy_left").length).toBeGreaterThan(1), { timeout: 3000 });
  expect(screen.queryByTestId("deploy-left")).toBeNull();
  app.answers.deploy_left = () => [example.leftIn("shop")];
  app.tell("source-changed", example.clusterWith({ editing: true }));
  expect(await screen.findByTestId("deploy-left", {}, { timeout: 3000 })).toBeVisible();
});

it("tells of what is left in a window that was opened with its cluster", async () => {
  app.answers.deploy_left = () => [example.leftIn("shop")];
  app.answers.source_state = () => example.clusterWith({ editing: false });
  render(App);
  expect(await id("toast")).toHaveTextContent("A sidecar of an earlier session is left");
});

it.each([
  { what: "another context", next: { name: "admin@kind-dev" } },
  { what: "a context of the same name in another kubeconfig", next: {}, file: "team" },
])("tells of what is left for $what of the same API server, and of no place twice", async ({ next, file }) => {
  const first = example.clusterWith({});
  const second = { ...example.clusterWith(file ? { file } : {}), ...next };
  app.answers.source_state = () => first;
  render(App);
  await id("overview-sentence");
  await vi.waitFor(() => expect(app.asked("deploy_left")).toHaveLength(1));
  app.tell("source-changed", { ...first, epoch: first.epoch + 1 });
  app.answers.deploy_left = () => [example.leftIn("shop")];
  app.tell("source-changed", second);
  expect(await id("toast")).toHaveTextContent("A sidecar of an earlier session is left");
  expect(app.asked("deploy_left")).toHaveLength(2);
});
