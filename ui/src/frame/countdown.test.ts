/** The keys of a change that waits to be kept, beside those of what is on the screen below it. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import App from "../App.svelte";
import { record, type Recording } from "../bridge/recording";
import { navigation, type Screen } from "../state/navigation.svelte";

let app: Recording;

const press = (keys: string) => userEvent.keyboard(keys);

/** The window with a change that waits, once nobody can have pressed the keys by mistake. */
async function waits() {
  const until = Date.now() + 60_000;
  app.answers.unconfirmed = () => [{ id: 7, title: "Mode", place: "here", here: true, until, fault: null }];
  render(App);
  await screen.findByTestId("countdown");
  await vi.waitFor(() => expect(screen.getByTestId("countdown-revert")).toHaveFocus());
  const later = Date.now() + 10_000;
  vi.spyOn(Date, "now").mockReturnValue(later);
}

beforeEach(() => {
  app = record();
});
afterEach(() => {
  vi.restoreAllMocks();
});

it("is kept with Ctrl+Enter by who stands in its countdown, on any screen", async () => {
  await waits();
  navigation.go("sandbox");
  await screen.findByTestId("console-url");
  screen.getByTestId("countdown-try").focus();
  await press("{Control>}{Enter}{/Control}");
  await vi.waitFor(() => expect(app.asked("keep_change")).toEqual([{ id: 7 }]));
});

it("is kept with Ctrl+Enter where nothing has the focus and the screen has no such key", async () => {
  await waits();
  (document.activeElement as HTMLElement).blur();
  await press("{Control>}{Enter}{/Control}");
  await vi.waitFor(() => expect(app.asked("keep_change")).toEqual([{ id: 7 }]));
});

it.each(["sandbox", "review"] as Screen[])("is not kept by the keys that are of %s", async (name) => {
  await waits();
  navigation.go(name);
  await screen.findByTestId(`screen-${name}`);
  (document.activeElement as HTMLElement).blur();
  await press("{Control>}{Enter}{/Control}");
  expect(app.asked("keep_change")).toEqual([]);
});

it("is not kept by Ctrl+Enter in a field, which sends what is typed", async () => {
  await waits();
  navigation.go("sandbox");
  await userEvent.click(await screen.findByTestId("console-url"));
  await press("{Control>}{Enter}{/Control}");
  expect(app.asked("keep_change")).toEqual([]);
  await vi.waitFor(() => expect(app.asked("send_request").length).toBeLessThanOrEqual(1));
});
