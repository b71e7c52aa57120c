/** What a person does, through the whole main window, against the stand-in. */
import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import App from "../App.svelte";
import type { Edit, Fault, Flow } from "../bridge/bindings";
import * as example from "../bridge/example";
import { record, type Recording } from "../bridge/recording";

let app: Recording;

beforeEach(() => {
  app = record();
});

const fails = (fault: Fault) => () => {
  throw fault;
};
const id = (name: string) => screen.findByTestId(name);
const press = (keys: string) => userEvent.keyboard(keys);

it("opens on the Overview with the app's sentence and every honest number", async () => {
  render(App);
  expect(await id("overview-sentence")).toHaveTextContent("3 of them are in no policy.");
  await vi.waitFor(async () => expect(await id("status-lag")).toHaveTextContent("0 ms behind"));
  expect(await id("status-dropped")).toHaveTextContent("dropped 0");
});

it.each([
  ["1", "overview"],
  ["2", "destinations"],
  ["3", "policy"],
  ["4", "rehearse"],
  ["5", "changes"],
  ["6", "sandbox"],
])("goes to a screen with Ctrl+%s", async (key, name) => {
  render(App);
  await press(`{Control>}${key}{/Control}`);
  expect(await id(`screen-${name}`)).toBeInTheDocument();
  expect(await id(`rail-${name}`)).toHaveAttribute("aria-current", "page");
});

it("rehearses a mode before it is staged, and takes it through review, apply and undo", async () => {
  render(App);
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-mode"));
  expect(await id("stage")).toBeDisabled();
  await userEvent.click(within(await id("mode-REGISTRY_ONLY")).getByRole("radio"));
  expect(await screen.findAllByTestId("impact-row")).toHaveLength(3);
  expect(app.asked("preview")).toEqual([{ edits: [{ kind: "mode", scope: "mesh", mode: "REGISTRY_ONLY" }] }]);
  await userEvent.click(await id("stage"));
  expect(app.asked("stage")).toEqual([{ edit: { kind: "mode", scope: "mesh", mode: "REGISTRY_ONLY" } }]);

  await userEvent.click(await id("review-open"));
  expect(await screen.findAllByTestId("diff-line")).toHaveLength(5);
  await press("{Control>}{Enter}{/Control}");
  await vi.waitFor(() => expect(app.asked("apply")).toHaveLength(1));
  expect(await id("screen-changes")).toBeInTheDocument();
  await vi.waitFor(() => expect(screen.queryByTestId("review-open")).toBeNull());

  await userEvent.click(await id("undo"));
  await vi.waitFor(() => expect(app.asked("undo")).toEqual([{ id: 3 }]));
});

it("connects to a cluster read-only, says what is dangerous about it, and edits only once that is switched on", async () => {
  render(App);
  await userEvent.click(await id("source-menu"));
  const contexts = await screen.findAllByTestId("context");
  expect(contexts.map((each) => each.textContent)).toEqual([
    expect.stringContaining("kind-dev"),
    expect.stringContaining("certificate not checked"),
  ]);
  await userEvent.click(within(contexts[1] as HTMLElement).getByText("eu-prod"));
  expect(app.asked("open_context")).toEqual([{ file: "default", name: "eu-prod", window: "this" }]);
  const production = await id("production");
  expect(production).toHaveTextContent("production");
  expect(production.closest("header")).toHaveClass("prod");
  expect(await id("source-menu")).toHaveTextContent("cluster · v1.36.3");
  const editing = await id("editing");
  expect(editing).toHaveTextContent("Read-only");
  await userEvent.click(editing);
  expect(app.asked("set_editing")).toEqual([{ on: true }]);
  await vi.waitFor(() => expect(editing).toHaveTextContent("Editing enabled"));
});

it("applies nothing with Ctrl+Enter outside Review", async () => {
  render(App);
  await userEvent.click(await id("rail-policy"));
  await press("{Control>}{Enter}{/Control}");
  expect(app.asked("apply")).toEqual([]);
});

it("takes the newest staged edit back with Ctrl+Z", async () => {
  render(App);
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-bypass"));
  await userEvent.type(await id("ranges-exclude"), ",10.20.0.0/16");
  await userEvent.click(await id("ranges-stage"));
  expect((app.asked("stage")[0]?.edit as Edit & { kind: "ranges" }).excludeRanges).toMatch(/,10\.20\.0\.0\/16$/);
  (document.activeElement as HTMLElement).blur();
  await press("{Control>}z{/Control}");
  await vi.waitFor(() => expect(app.asked("unstage")).toEqual([{ id: 1 }]));
});

it("stages a service from the form, with the host that is still being typed", async () => {
  render(App);
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-services"));
  await userEvent.click(await id("service-new"));
  await userEvent.type(await id("form-hosts"), "edition.cnn.com");
  await userEvent.click(await id("form-save"));
  await vi.waitFor(() => expect(app.asked("stage")).toHaveLength(1));
  expect(app.asked("draft_from_service").at(-1)).toMatchObject({
    form: { hosts: ["www.google.com", "edition.cnn.com"] },
  });
});

it("lets the protocol follow the port until a person chooses one", async () => {
  render(App);
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-services"));
  await userEvent.click(await id("service-new"));
  const number = (await screen.findAllByTestId("form-port-number")).at(-1) as HTMLElement;
  const protocol = () => screen.getAllByTestId("form-port-protocol").at(-1) as HTMLSelectElement;
  await userEvent.clear(number);
  await userEvent.type(number, "27017");
  await vi.waitFor(() => expect(protocol()).toHaveValue("MONGO"));
  await userEvent.selectOptions(protocol(), "TCP");
  await userEvent.clear(number);
  await userEvent.type(number, "443");
  await vi.waitFor(() =>
    expect(app.asked("draft_from_service").at(-1)).toMatchObject({ form: { ports: [{ number: 443 }] } }),
  );
  expect(protocol()).toHaveValue("TCP");
});

it("shows a refused edit with its place and what to do, and loses nothing", async () => {
  app.answers.stage = fails({
    code: "conflict",
    message: "port 0 is no port",
    hint: "Give a number from 1 to 65535.",
    at: { file: "egress/google.yaml", line: 12, column: 5 },
  });
  render(App);
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-services"));
  await userEvent.click(await id("service-new"));
  await userEvent.type(await id("form-hosts"), "edition.cnn.com");
  await userEvent.click(await id("form-save"));
  const banner = await id("error-banner");
  expect(banner).toHaveTextContent("egress/google.yaml:12:5");
  expect(banner).toHaveTextContent("Give a number from 1 to 65535.");
  expect(screen.getByText("edition.cnn.com", { selector: ".chip" })).toBeInTheDocument();
});

it("keeps showing the last good policy when a reload fails", async () => {
  render(App);
  await userEvent.click(await id("rail-policy"));
  await screen.findAllByTestId("service-row");
  app.answers.policy_view = fails({ code: "io", message: "cannot read the folder", hint: null, at: null });
  await userEvent.click(await id("rail-overview"));
  const { policy } = await import("../state/store.svelte");
  await policy.refresh();
  await userEvent.click(await id("rail-policy"));
  expect(await id("error-banner")).toHaveTextContent("cannot read the folder");
  expect(screen.getAllByTestId("service-row").length).toBeGreaterThan(0);
});

it("adds a newly blocked destination to the change set from its newest flow", async () => {
  render(App);
  await userEvent.click(await id("rail-rehearse"));
  await userEvent.click((await screen.findAllByTestId("rehearse-add"))[0] as HTMLElement);
  await vi.waitFor(() => expect(app.asked("stage")).toHaveLength(1));
  expect(app.asked("draft_new")[0]).toMatchObject({ kind: "ServiceEntry" });
  expect(app.asked("draft_new")[0]?.flowId).toEqual(expect.any(Number));
  expect(await id("review-open")).toBeInTheDocument();
});

it("sends a request, shows its verdict as the app gave it, and explains it", async () => {
  render(App);
  await userEvent.click(await id("rail-sandbox"));
  await userEvent.clear(await id("console-url"));
  await userEvent.type(await id("console-url"), "http://httpbin.org/headers{Enter}");
  const row = await id("console-row");
  expect(await within(row).findByTestId("console-verdict")).toHaveTextContent("Passthrough");
  expect(within(row).getByTestId("console-result")).toHaveTextContent("200");
  await userEvent.click(within(row).getByTestId("console-why"));
  expect((await screen.findAllByTestId("why-step")).length).toBe(5);
  await press("{Escape}");
  expect(await id("screen-sandbox")).toBeInTheDocument();
});

it("shows what happened first, and the policy of now beside it where that says otherwise", async () => {
  const flow = example.flows.find((flow) => flow.verdict === "passthrough");
  app.answers.send_request = async () => ({ ...(await app.base.call<object>("send_request")), flowId: flow?.id });
  app.answers.why = () => ({ ...example.whyOf(flow as Flow), verdict: "blocked" });
  render(App);
  await userEvent.click(await id("rail-sandbox"));
  await userEvent.type(await id("console-url"), "{Enter}");
  await userEvent.click(await id("console-why"));
  expect(within(await id("why")).getAllByText("Passthrough")).toHaveLength(1);
  expect(await id("why-now")).toHaveTextContent("policy of now: Blocked");
});

it("runs a command and shows its output", async () => {
  render(App);
  await userEvent.click(await id("rail-sandbox"));
  await userEvent.type(await id("command-input"), "curl -sI http://api.example.com/");
  await userEvent.click(await id("command-run"));
  await vi.waitFor(async () => expect(await id("command-output")).toHaveTextContent("exit 0"));
  expect(await id("command-run")).toBeInTheDocument();
});

it("names the cause when nothing was seen, with one action", async () => {
  record({ empty: true });
  render(App);
  await userEvent.click(await id("rail-destinations"));
  const empty = await id("empty");
  expect(empty).toHaveTextContent("No sidecar runs, so nothing can be seen");
  expect(within(empty).getAllByRole("button")).toHaveLength(1);
});

it("finds and runs from the palette, and Esc closes only the top layer", async () => {
  render(App);
  await id("overview-sentence");
  await press("{Control>}k{/Control}");
  await userEvent.type(await id("palette-input"), "default/google{Enter}");
  expect(await id("screen-policy")).toBeInTheDocument();
  await vi.waitFor(() =>
    expect(app.asked("draft_open")).toEqual([{ kind: "ServiceEntry", namespace: "default", name: "google" }]),
  );
  await press("{Control>}k{/Control}");
  await press("{Escape}");
  expect(screen.queryByTestId("palette-input")).toBeNull();
  expect(await id("screen-policy")).toBeInTheDocument();
});

it("opens the key sheet with ? but not while something is typed", async () => {
  render(App);
  await press("?");
  expect(await id("key-sheet")).toBeInTheDocument();
  await press("{Escape}");
  await userEvent.click(await id("rail-changes"));
  await userEvent.type(screen.getByLabelText("Find a change"), "?");
  expect(screen.queryByTestId("key-sheet")).toBeNull();
});

it("opens the form for the flow that a log window asks to allow", async () => {
  render(App);
  await id("overview-sentence");
  app.tell("open-draft", { flowId: 41 });
  await vi.waitFor(() => expect(app.asked("draft_new")).toEqual([{ kind: "ServiceEntry", flowId: 41 }]));
});

it("takes a change back, or keeps it, while it waits to be kept", async () => {
  render(App);
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-mode"));
  await userEvent.click(within(await id("mode-REGISTRY_ONLY")).getByRole("radio"));
  await userEvent.click(await id("stage"));
  await userEvent.click(await id("review-open"));
  expect(await id("confirm")).not.toBeChecked();
  await userEvent.click(await id("confirm"));
  await userEvent.click(await id("apply"));
  expect(app.asked("apply")).toEqual([{ countdown: { seconds: 120, afterwards: "revert" } }]);
  expect(await id("countdown")).toHaveTextContent("not confirmed yet");
  expect(await id("countdown-left")).toHaveTextContent(/^[01]:\d\d$/);
  expect(await id("countdown-revert")).toHaveFocus();
  // The keys that applied it do not keep it in the same breath.
  await press("{Control>}{Enter}{/Control}");
  expect(app.asked("keep_change")).toEqual([]);
  await userEvent.click(await id("countdown-keep"));
  await vi.waitFor(() => expect(screen.queryByTestId("countdown")).toBeNull());
});

it("contains a screen that cannot be drawn: it says so, and the others go on", async () => {
  app.answers.overview = () => ({});
  render(App);
  expect(await id("error-banner")).toHaveTextContent("cannot be drawn");
  await press("{Control>}3{/Control}");
  expect(await id("screen-policy")).toBeInTheDocument();
  expect(screen.queryByTestId("error-banner")).not.toBeInTheDocument();
});

it("tells of a change that is taken back by itself, with what was left", async () => {
  let over = false;
  const [applied] = example.journal;
  const waits = { id: 1, title: "Mode", place: "here", here: true, until: Date.now() + 60_000, fault: null };
  app.answers.unconfirmed = () => (over ? [] : [waits]);
  app.answers.journal = () => [
    { ...applied, id: 1, title: "Mode", undone: over, reverted: over, kept: over ? ["a.yaml"] : [] },
  ];
  render(App);
  expect(await id("countdown")).toHaveTextContent("Mode");
  over = true;
  app.tell("journal-changed", null);
  expect(await screen.findByText(/but for a\.yaml, which another hand has changed since: Mode/)).toBeInTheDocument();
  await vi.waitFor(() => expect(screen.queryByTestId("countdown")).toBeNull());
});
