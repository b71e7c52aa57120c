/** Any workload's place: chosen from where workloads are shown, and never taken silently from what runs. */
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

it("is chosen in the palette, and restarts what runs as somebody else only after a yes", async () => {
  render(App);
  navigation.layer = "palette";
  await userEvent.type(await screen.findByTestId("palette-input"), "run as shop/cart");
  await userEvent.click((await screen.findAllByTestId("palette-hit"))[0] as HTMLElement);
  expect(await screen.findByTestId("sandbox-other")).toHaveTextContent("runs as default/sleep");
  expect(app.asked("sandbox_start")).toEqual([]);
  await userEvent.click(screen.getByTestId("sandbox-restart-as"));
  expect(app.asked("sandbox_stop")).toHaveLength(1);
  expect(app.asked("sandbox_start")).toEqual([{ workload: "shop/cart", policy: "source", takes: "nothing" }]);
});

it("is offered for a destination's callers that the source declares, and for no others", async () => {
  const [first, ...rest] = example.destinations;
  app.answers.destinations = () => [{ ...first, workloads: ["shop/cart", "gone/away"] }, ...rest];
  navigation.go("destinations");
  render(App);
  await screen.findByTestId("screen-destinations");
  await userEvent.click((await screen.findAllByTestId("destination-row"))[0] as HTMLElement);
  const offered = await screen.findAllByTestId("inspector-run-as");
  expect(offered.map((each) => each.getAttribute("aria-label"))).toEqual(["Run as shop/cart"]);
  await userEvent.click(offered[0] as HTMLElement);
  expect(navigation.screen).toBe("sandbox");
});

it("enforces the staged changes only where that was chosen, and says so in the head", async () => {
  app.answers.sandbox_state = () => ({ ...example.sandbox, state: "stopped" });
  navigation.go("sandbox");
  render(App);
  await userEvent.click(await screen.findByTestId("under-staged"));
  await userEvent.click(screen.getByTestId("sandbox-start"));
  expect(app.asked("sandbox_start").at(-1)).toMatchObject({ policy: "staged" });
  expect(await screen.findByTestId("sandbox-under")).toHaveTextContent("staged");
});

it("takes variables over where that was chosen, Secrets after a yes of their own, for this workload alone", async () => {
  app.answers.sandbox_state = () => ({ ...example.sandbox, state: "stopped" });
  navigation.go("sandbox");
  render(App);
  expect(screen.queryByTestId("takes-secrets")).toBeNull();
  await userEvent.click(await screen.findByTestId("takes-variables"));
  await userEvent.click(screen.getByTestId("takes-secrets"));
  navigation.actAs("shop/cart");
  expect(navigation.sandboxTakes).toBe("variables");
  app.answers.sandbox_start = () => ({
    ...example.sandbox,
    takes: "variables",
    variables: 7,
    files: 2,
    leftOut: ["TOKEN: Secret db: Secrets were not asked for"],
  });
  await userEvent.click(screen.getByTestId("sandbox-start"));
  expect(app.asked("sandbox_start").at(-1)).toMatchObject({ workload: "shop/cart", takes: "variables" });
  expect(await screen.findByTestId("taken")).toHaveTextContent("7 variables, 2 mounts, left out: 1");
  expect(screen.getByTestId("left-out")).toHaveTextContent("Secret db");
});

it("says how many connections went to Services, and why one did not", async () => {
  const fault = { code: "forbidden", message: "needs create pods/portforward in shop.", hint: null, at: null };
  app.answers.sandbox_state = () => ({ ...example.sandbox, reach: { total: 3, open: 1, fault } });
  navigation.go("sandbox");
  render(App);
  expect(await screen.findByTestId("sandbox-reach")).toHaveTextContent("3 port-forwards, 1 open");
  expect(screen.getByTestId("sandbox-reach-fault")).toHaveTextContent("pods/portforward in shop");
});

it("goes with the source that it was chosen in, and so does what is staged", async () => {
  app.answers.sandbox_state = () => ({ ...example.sandbox, state: "stopped" });
  render(App);
  await screen.findByTestId("overview-sentence");
  navigation.runAs("shop/cart");
  navigation.sandboxPolicy = "staged";
  expect(await screen.findByTestId("sandbox-start")).toHaveTextContent("Start as shop/cart");
  app.tell("source-changed", { ...example.source, epoch: example.source.epoch + 1 });
  expect(navigation.sandboxAs).toBe("shop/cart");
  app.tell("source-changed", { ...example.source, path: "/elsewhere", name: "elsewhere" });
  await vi.waitFor(() => expect(screen.getByTestId("sandbox-start")).toHaveTextContent("Start as default/sleep"));
  expect(screen.getByTestId("under-staged")).toHaveAttribute("aria-pressed", "false");
});

it("is kept while it runs, also when the source no longer has it", async () => {
  app.answers.sandbox_state = () => ({ ...example.sandbox, workload: "gone/away" });
  navigation.go("sandbox");
  render(App);
  await vi.waitFor(() => expect(app.asked("workloads")).toHaveLength(1));
  await screen.findByText(example.workloads[0]?.name ?? "");
  expect(screen.queryByTestId("sandbox-other")).toBeNull();
});

it("is not a workload that the source no longer has", async () => {
  const [first] = example.workloads;
  app.answers.sandbox_state = () => ({ ...example.sandbox, state: "stopped", workload: "gone/before" });
  app.answers.workloads = () => [first];
  render(App);
  await screen.findByTestId("overview-sentence");
  navigation.runAs("gone/away");
  await vi.waitFor(() => expect(screen.getByTestId("sandbox-start")).toHaveTextContent(`Start as ${first?.name}`));
});
