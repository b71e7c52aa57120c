/** It is said which release of Istio is decided for, and from where that is known; for a folder another one can be chosen. */
import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";
import App from "../../App.svelte";
import * as example from "../../bridge/example";
import { record } from "../../bridge/recording";

const id = (name: string) => screen.findByTestId(name);

/** The pane of modes. */
async function modes(cluster = false) {
  const app = record();
  if (cluster) app.answers.source_state = () => example.clusterSource("kind-dev");
  render(App);
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-mode"));
  return app;
}

it("decides as the release that is chosen, says that it is not the one that was found, and goes back", async () => {
  const app = await modes();
  expect(await id("release")).toHaveTextContent("Found: label app.kubernetes.io/version of ConfigMap");
  await userEvent.selectOptions(await id("release-choice"), "1.24");
  expect(await id("release-chosen")).toHaveTextContent("is decided as Istio 1.24. Found was 1.31");
  await userEvent.selectOptions(await id("release-choice"), "");
  expect(screen.queryByTestId("release-chosen")).toBeNull();
  expect(app.asked("decide_for")).toEqual([{ version: "1.24" }, { version: null }]);
});

it("says which release a cluster runs, and offers no other", async () => {
  await modes(true);
  expect(within(await id("release")).getByText("Istio 1.31")).toBeInTheDocument();
  expect(screen.queryByTestId("release-choice")).toBeNull();
});
