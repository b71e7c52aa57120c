/** The menu of the source, by keyboard and by pointer. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import App from "../App.svelte";
import { record } from "../bridge/recording";

beforeEach(async () => {
  record();
  render(App);
  await screen.findByTestId("overview-sentence");
});

const button = () => screen.getByTestId("source-menu");
const menu = () => screen.queryByRole("group", { name: "Source" });

it("takes the focus when it opens, and gives it back when Esc closes it", async () => {
  button().focus();
  await userEvent.keyboard("{Enter}");
  await vi.waitFor(() => expect(menu()).toContainElement(document.activeElement as HTMLElement));
  await userEvent.keyboard("{Escape}");
  expect(menu()).toBeNull();
  await vi.waitFor(() => expect(button()).toHaveFocus());
});

it("is closed by a click elsewhere, and not by one in it", async () => {
  await userEvent.click(button());
  await userEvent.click(await screen.findByTestId("new-window"));
  expect(menu()).not.toBeNull();
  await userEvent.click(screen.getByTestId("overview-sentence"));
  await vi.waitFor(() => expect(menu()).toBeNull());
});

it("is in the bar that F6 goes to", async () => {
  document.body.focus();
  await userEvent.keyboard("{F6}");
  expect(button()).toHaveFocus();
});
