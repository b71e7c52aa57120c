import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";
import { toasts } from "../state/toasts.svelte";
import ToastStack from "./ToastStack.svelte";

const shown = () => screen.getAllByTestId("toast").map((toast) => toast.textContent.trim());

it("count the failures that they have no room for, and open them", async () => {
  for (let each = 1; each <= 5; each += 1)
    toasts.fail({ code: "io", message: `failure ${each}`, hint: null, at: null });
  toasts.say("a notice");
  render(ToastStack);
  expect(shown()).toEqual(["failure 3", "failure 4", "failure 5", "a notice"]);
  const more = screen.getByTestId("toasts-more");
  expect(more).toHaveTextContent("2 more failures");
  await userEvent.click(more);
  expect(shown()).toEqual(["failure 1", "failure 2", "failure 3", "failure 4", "failure 5", "a notice"]);
  for (let each = 0; each < 2; each += 1)
    await userEvent.click(within(screen.getAllByTestId("toast")[0] as HTMLElement).getByLabelText("Dismiss"));
  expect(shown()).toEqual(["failure 3", "failure 4", "failure 5", "a notice"]);
  expect(screen.queryByTestId("toasts-more")).toBeNull();
});
