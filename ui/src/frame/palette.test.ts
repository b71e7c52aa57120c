/** The palette, where two of what it lists have one name. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import App from "../App.svelte";
import * as example from "../bridge/example";
import { record } from "../bridge/recording";

it("finds a host that has two verdicts, and an object that is declared twice", async () => {
  const app = record();
  const [row] = example.destinations;
  const [service] = example.policy.services;
  app.answers.destinations = () => [row, { ...row, verdict: "blocked" }];
  app.answers.policy_view = () => ({ ...example.policy, services: [service, service] });
  render(App);
  await vi.waitFor(() => expect(app.asked("destinations").length).toBeGreaterThan(0));
  await userEvent.keyboard("{Control>}k{/Control}");
  await userEvent.type(await screen.findByTestId("palette-input"), row?.name ?? "");
  const hosts = () => screen.getAllByTestId("palette-hit").filter((hit) => hit.textContent.includes(row?.name ?? ""));
  await vi.waitFor(() => expect(hosts().length).toBeGreaterThanOrEqual(2));
  await userEvent.clear(screen.getByTestId("palette-input"));
  await userEvent.type(screen.getByTestId("palette-input"), service?.object.name ?? "");
  await vi.waitFor(() => expect(screen.getAllByTestId("palette-hit").length).toBeGreaterThanOrEqual(2));
  expect(screen.queryByTestId("error-banner")).toBeNull();
});
