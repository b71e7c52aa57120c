/** What is open of one place ends with it. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import App from "../../App.svelte";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { testConsole } from "../../state/console.svelte";
import { navigation } from "../../state/navigation.svelte";
import { newest } from "../../state/store.svelte";

let app: Recording;

beforeEach(() => {
  app = record();
});

it("closes a draft when another place is opened: it would be staged where it was not opened", async () => {
  render(App);
  await screen.findByTestId("overview-sentence");
  navigation.openDraft({ kind: "ServiceEntry", object: { namespace: "default", name: "httpbin" }, flowId: null });
  await screen.findByTestId("draft-discard");
  app.tell("source-changed", { ...example.source, epoch: example.source.epoch + 1 });
  expect(screen.getByTestId("draft-discard")).toBeInTheDocument();
  app.tell("source-changed", { ...example.source, path: "/elsewhere", name: "elsewhere" });
  await vi.waitFor(() => expect(screen.queryByTestId("draft-discard")).toBeNull());
  expect(navigation.draft).toBeNull();
});

it("keeps what was typed in a form while another screen is open, until it is discarded", async () => {
  render(App);
  await screen.findByTestId("overview-sentence");
  navigation.openDraft({ kind: "ServiceEntry", object: null, flowId: null });
  await userEvent.type(await screen.findByTestId("form-hosts"), "edition.cnn.com ");
  await screen.findByText("edition.cnn.com", { selector: ".chip" });
  navigation.go("sandbox");
  await screen.findByTestId("console-url");
  navigation.go("policy");
  expect(await screen.findByText("edition.cnn.com", { selector: ".chip" })).toBeInTheDocument();
  await userEvent.click(screen.getByTestId("draft-discard"));
  navigation.openDraft({ kind: "ServiceEntry", object: null, flowId: null });
  await screen.findByTestId("form-hosts");
  expect(screen.queryByText("edition.cnn.com", { selector: ".chip" })).toBeNull();
});

const elsewhere = { ...example.source, path: "/elsewhere", name: "elsewhere" };

it("drops what was typed on a screen: it would be staged where it was not typed", async () => {
  render(App);
  await screen.findByTestId("overview-sentence");
  navigation.openTab("bypass");
  await userEvent.type(await screen.findByTestId("ranges-exclude"), ",10.20.0.0/16");
  expect(screen.getByTestId("ranges-stage")).toBeEnabled();
  app.tell("source-changed", { ...example.source, epoch: example.source.epoch + 1 });
  expect(screen.getByTestId("ranges-stage")).toBeEnabled();
  app.tell("source-changed", elsewhere);
  await vi.waitFor(() => expect(screen.getByTestId("ranges-stage")).toBeDisabled());
});

it("drops the requests that were sent, and the flows that were seen", async () => {
  render(App);
  await screen.findByTestId("overview-sentence");
  await testConsole.send("GET", "http://httpbin.org/", "default/sleep");
  await vi.waitFor(() => expect(newest.value?.rows.length).toBeGreaterThan(0));
  app.answers.log_page = () => new Promise(() => undefined);
  app.tell("source-changed", elsewhere);
  await vi.waitFor(() => expect(testConsole.history).toEqual([]));
  expect(newest.value).toBeNull();
});

it("forgets an answer about the ranges of the place before", async () => {
  let answer: (value: unknown) => void = () => undefined;
  app.answers.own_ranges = () => new Promise((resolve) => (answer = resolve));
  render(App);
  await screen.findByTestId("overview-sentence");
  navigation.openTab("bypass");
  await vi.waitFor(() => expect(app.asked("own_ranges")).toHaveLength(1));
  const late = answer;
  app.answers.own_ranges = () => null;
  app.tell("source-changed", elsewhere);
  await vi.waitFor(() => expect(app.asked("own_ranges").length).toBeGreaterThan(1));
  late({ found: [], unread: [] });
  await new Promise((resolve) => setTimeout(resolve));
  expect(screen.queryByTestId("own-ranges")).toBeNull();
});
