/** Each revision has lists of its own, and it is said which one an edit is for. */
import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import Bypass from "./Bypass.svelte";

let app: Recording;

beforeEach(() => {
  app = record();
});

const two = { ...example.bypass, injectors: [...example.bypass.injectors, example.oldInjector] };
const choose = async (revision: string) =>
  userEvent.click(within(await screen.findByTestId(`revision-${revision}`)).getByRole("radio"));

it("offers no choice where there is one revision", () => {
  render(Bypass, { bypass: example.bypass, findings: [] });
  expect(screen.queryByTestId("revision-default")).toBeNull();
});

it("edits the revision that is chosen, and keeps what was typed for the other", async () => {
  render(Bypass, { bypass: two, findings: [] });
  const ranges = screen.getByTestId("ranges-exclude");
  await userEvent.type(ranges, ",192.0.2.0/24");
  await choose("1-3");
  expect(ranges).toHaveValue("10.0.0.0/8");
  await userEvent.clear(ranges);
  await userEvent.type(ranges, "10.9.0.0/16");
  await userEvent.click(screen.getByTestId("ranges-stage"));
  await vi.waitFor(() =>
    expect(app.asked("stage").map(({ edit }) => edit)).toEqual([
      {
        kind: "ranges",
        revision: "1-3",
        includeRanges: "*",
        excludeRanges: "10.9.0.0/16",
        includePorts: "",
        excludePorts: "",
      },
    ]),
  );
  await choose("default");
  expect(ranges).toHaveValue("10.60.0.0/16,10.40.8.0/22,192.0.2.0/24");
});

it("locks the lists that an old template does not have, and says why", async () => {
  render(Bypass, { bypass: two, findings: [] });
  await choose("1-3");
  expect(screen.getByTestId("ranges-exclude-ports")).toBeDisabled();
  expect(screen.getByTestId("ranges-exclude")).toBeEnabled();
  expect(screen.getByTestId("injector-note")).toHaveTextContent("inside its injection template");
});
