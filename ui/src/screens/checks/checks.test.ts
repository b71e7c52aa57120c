/** A finding's fix is staged, one or all of a rule, and shown in Review with its field and its reason. */
import { fireEvent, render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import App from "../../App.svelte";
import type { Finding, PolicyView, SourceState } from "../../bridge/bindings";
import * as example from "../../bridge/example";
import { record } from "../../bridge/recording";

const id = (name: string) => screen.findByTestId(name);
const rule = example.findings.filter((finding) => finding.offer !== null);

/** The Checks screen with these findings; gives the fixes that were asked to be staged. */
async function checks(findings: Finding[]) {
  const app = record();
  app.answers.policy_view = async () => ({ ...(await app.base.call<PolicyView>("policy_view")), findings });
  render(App);
  await userEvent.click(await id("rail-checks"));
  await screen.findAllByTestId("finding-row");
  return () => app.asked("stage_fixes").map(({ fixes }) => fixes);
}

const key = (finding: Finding | undefined) => ({
  code: "IST0131",
  kind: "VirtualService",
  namespace: "shop",
  name: "api",
  field: finding?.field,
});

it("stages the fix of one finding, says so in its row, and shows field and reason in Review", async () => {
  const asked = await checks(example.findings);
  const [button] = await screen.findAllByTestId("fix");
  expect(button).toHaveAttribute("title", expect.stringContaining("take spec.http[0].match[1] away"));
  await userEvent.click(button as HTMLElement);
  expect(asked()).toEqual([[key(rule[0])]]);
  expect(await id("fix-staged")).toBeInTheDocument();
  expect(screen.getAllByTestId("fix")).toHaveLength(rule.length - 1);
  expect(screen.queryByTestId("fix-all")).toBeNull();
  await userEvent.click(await id("review-open"));
  const edit = within(await id("staged-fix"));
  expect(edit.getByText(/take spec.http\[0\].match\[1\] away/)).toHaveTextContent("this match is never used");
});

it("stages the fixes of all findings of a rule as one change set", async () => {
  const asked = await checks(example.findings);
  await userEvent.click(await id("fix-all"));
  expect(asked()).toEqual([rule.map(key)]);
  await vi.waitFor(() => expect(screen.getAllByTestId("fix-staged")).toHaveLength(rule.length));
  expect(screen.queryByTestId("fix")).toBeNull();
});

it("offers nothing where no change is sure", async () => {
  await checks(example.findings.filter((finding) => finding.offer === null));
  expect(screen.queryByTestId("fix")).toBeNull();
});

/** As many findings as a large mesh has, each of an object of its own. */
const many = Array.from({ length: 20_000 }, (_, index): Finding => {
  const [finding] = rule as [Finding];
  return {
    ...finding,
    message: `finding ${index}`,
    object: finding.object && { ...finding.object, name: `v${index}` },
  };
});

it("draws findings only where they are in sight, twenty thousand as ten, and keeps the one in focus", async () => {
  await checks(many);
  expect(screen.getByText("20,000 hints")).toBeInTheDocument();
  expect(screen.getByRole("table")).toHaveAttribute("aria-rowcount", "20001");
  const drawn = () => screen.getAllByTestId("finding-row");
  expect(drawn().length).toBeLessThan(100);
  screen.getByText("finding 0").focus();
  await userEvent.keyboard("jj{ArrowUp}");
  expect(screen.getByText("finding 1")).toHaveFocus();
  // The wheel takes the list away from the row in focus.
  const box = screen.getByRole("table").closest(".scroll") as HTMLElement;
  box.scrollTop = 100_000;
  await fireEvent.scroll(box);
  expect(screen.getByText("finding 1")).toHaveFocus();
  expect(screen.queryByText("finding 30")).toBeNull();
  await userEvent.keyboard("j");
  expect(screen.getByText("finding 2")).toHaveFocus();
  await userEvent.keyboard("{End}");
  await waitFor(() => expect(screen.getByText("finding 19999")).toHaveFocus());
  expect(screen.getByText("finding 19999").closest("tr")).toHaveAttribute("aria-rowindex", "20001");
  expect(drawn().length).toBeLessThan(100);
});

it("stages all twenty thousand fixes of a rule, and knows each again", async () => {
  await checks(many);
  await userEvent.click(await id("fix-all"));
  await vi.waitFor(() => expect(screen.getAllByTestId("fix-staged").length).toBeGreaterThan(10));
  expect(screen.queryByTestId("fix")).toBeNull();
});

it("says why a fix cannot be made here", async () => {
  const blockedBecause = "Egret does not write a DestinationRule into a cluster; the command does.";
  const asked = await checks(
    rule.map((finding) => ({ ...finding, offer: finding.offer && { ...finding.offer, blockedBecause } })),
  );
  for (const button of await screen.findAllByTestId("fix")) expect(button).toBeDisabled();
  expect(screen.queryByTestId("fix-all")).toBeNull();
  const [row] = await screen.findAllByTestId("finding-row");
  expect(row).toHaveTextContent(blockedBecause);
  expect(within(row as HTMLElement).getByLabelText("Copy as kubectl patch")).toBeEnabled();
  expect(asked()).toEqual([]);
});

it("draws the first of thousands of places that cannot be read, and counts the rest", async () => {
  const app = record();
  const fault = (index: number) => ({
    code: "policy",
    message: `object ${index} is none`,
    at: null,
    hint: null,
  });
  const errors = Array.from({ length: 6_000 }, (_, index) => fault(index));
  app.answers.source_state = async () => ({ ...(await app.base.call<SourceState>("source_state")), errors });
  render(App);
  await userEvent.click(await id("rail-checks"));
  expect(await screen.findByText(/^5,950 more places cannot be read/)).toBeInTheDocument();
  expect(screen.getAllByTestId("error-banner")).toHaveLength(50);
});
