import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import App from "../../App.svelte";
import type { Edit } from "../../bridge/bindings";
import * as calls from "../../bridge/calls";
import { record, type Recording } from "../../bridge/recording";
import { navigation } from "../../state/navigation.svelte";

let app: Recording;

const mode: Edit = { kind: "mode", scope: "mesh", mode: "REGISTRY_ONLY" };

/** The window at the review of one edit. */
async function reviewing() {
  render(App);
  await screen.findByTestId("overview-sentence");
  await calls.stage(mode);
  navigation.go("review");
  await vi.waitFor(() => expect(screen.getByTestId("apply")).toBeEnabled());
}

beforeEach(() => {
  app = record();
});

describe("the review", () => {
  it("of other edits than those that are staged is neither shown nor applied", async () => {
    await reviewing();
    let answer = () => {};
    app.answers.review = async () => {
      await new Promise<void>((resolve) => (answer = resolve));
      return app.base.call("review");
    };
    await calls.stage({ ...mode, scope: "namespace shop" });
    await vi.waitFor(() => expect(screen.getAllByTestId("staged-edit")).toHaveLength(2));
    expect(screen.queryByTestId("apply")).toBeNull();
    expect(screen.queryByTestId("diff-line")).toBeNull();
    await userEvent.keyboard("{Control>}{Enter}{/Control}");
    expect(app.asked("apply")).toEqual([]);
    await vi.waitFor(() => {
      answer();
      expect(screen.getByTestId("apply")).toBeEnabled();
    });
  });

  it("that failed leaves the edits to be taken out, and applies nothing", async () => {
    await reviewing();
    app.answers.review = () => {
      throw { code: "io", message: "cannot read the folder", hint: null, at: null };
    };
    await calls.stage({ ...mode, scope: "namespace shop" });
    expect(await screen.findByTestId("error-banner")).toHaveTextContent("cannot read the folder");
    expect(screen.queryByTestId("apply")).toBeNull();
    expect(screen.getAllByTestId("unstage")).toHaveLength(2);
  });
});
