/** Every screen, filled and empty, against axe. Colours are checked with the tokens, since jsdom draws nothing. */
import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { describe, expect, it } from "vitest";
import App from "../App.svelte";
import * as example from "../bridge/example";
import { record } from "../bridge/recording";
import { navigation, type PolicyTab, type Screen } from "../state/navigation.svelte";
import LogWindow from "./log/LogWindow.svelte";

async function violations(): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve, 60));
  const results = await axe.run(document.body, {
    rules: { "color-contrast": { enabled: false }, region: { enabled: false } },
  });
  return results.violations.map(
    (each) => `${each.id}: ${each.help}\n${each.nodes.map((node) => node.html.slice(0, 160)).join("\n")}`,
  );
}

const places: [Screen, PolicyTab?][] = [
  ["overview"],
  ["destinations"],
  ["policy", "mode"],
  ["policy", "services"],
  ["policy", "timeouts"],
  ["policy", "bypass"],
  ["policy", "gateways"],
  ["rehearse"],
  ["changes"],
  ["sandbox"],
  ["checks"],
  ["review"],
];

describe.each([{ empty: false }, { empty: true }])("with $empty as first start", ({ empty }) => {
  it.each(places)("%s %s is accessible", async (name, tab) => {
    record({ empty });
    if (tab) navigation.policyTab = tab;
    navigation.go(name);
    render(App);
    await screen.findByTestId(`screen-${name}`);
    expect(await violations()).toEqual([]);
  });

  it("the log window is accessible", async () => {
    record({ empty });
    render(LogWindow);
    await screen.findByTestId("log-count");
    expect(await violations()).toEqual([]);
  });
});

it.each([
  { kind: "ServiceEntry" as const, name: "google" },
  { kind: "VirtualService" as const, name: "api" },
])("the form of a $kind is accessible", async ({ kind, name }) => {
  record();
  navigation.openDraft({ kind, object: { namespace: "default", name }, flowId: null });
  render(App);
  await screen.findByTestId("draft-sentence");
  expect(await violations()).toEqual([]);
});

it("an object that is only read is accessible", async () => {
  record();
  navigation.openRead({ kind: "Service", namespace: "istio-system", name: "istio-egressgateway" });
  render(App);
  await screen.findByTestId("object-yaml");
  expect(await violations()).toEqual([]);
});

it("the trace of a flow is accessible", async () => {
  record();
  navigation.openWhy(4);
  render(App);
  await screen.findByTestId("why-sentence");
  expect(await violations()).toEqual([]);
});

it.each(["palette", "keys", "source"] as const)("the layer %s is accessible", async (layer) => {
  record();
  navigation.layer = layer;
  render(App);
  expect(await violations()).toEqual([]);
});

it.each([
  { phase: "none", state: example.noDeployment },
  { phase: "running", state: example.deployed },
])("a sidecar beside a workload is accessible, $phase", async ({ state }) => {
  Object.assign(record().answers, {
    source_state: () => example.clusterSource("kind-dev"),
    deploy_state: () => state,
    deploy_left: () => [example.leftIn("shop")],
  });
  navigation.openSandbox("cluster");
  render(App);
  await screen.findByTestId("deploy-left");
  if (state === example.noDeployment) await userEvent.click(await screen.findByTestId("deploy-check-all"));
  expect(await violations()).toEqual([]);
});

it("the menu of an open cluster is accessible, with a program to allow", async () => {
  Object.assign(record().answers, {
    source_state: () => example.clusterSource("kind-dev"),
    list_kubeconfigs: () => [...example.kubeconfigs, example.pickedKubeconfig],
    connecting: () => ({ file: "team", context: "team-eu", step: "credentials" }),
  });
  navigation.layer = "source";
  render(App);
  await userEvent.click((await screen.findAllByTestId("look"))[2] as HTMLElement);
  await screen.findByTestId("allow-plugin");
  await screen.findByTestId("facts");
  expect(await violations()).toEqual([]);
});
