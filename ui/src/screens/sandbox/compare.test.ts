/** Two policies side by side: pinned, compared request by request, and sent through both only where a person says so. */
import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import App from "../../App.svelte";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { navigation } from "../../state/navigation.svelte";

let app: Recording;
const id = (name: string) => screen.findByTestId(name);

beforeEach(() => {
  app = record();
  navigation.go("sandbox");
});

async function compare() {
  render(App);
  await userEvent.click(await id("compare-staged"));
  await id("compared-summary");
}

it("counts what would be different, shows both reasons there, and can show nothing else", async () => {
  await compare();
  expect(app.asked("compare_with")).toEqual([{ policy: "staged" }]);
  expect(await screen.findByText("1 of 3 requests would be different, 1 cannot be told")).toBeInTheDocument();
  const rows = await screen.findAllByTestId("compared-row");
  expect(rows.map((row) => row.dataset.likeness)).toEqual(["same", "different", "unknown"]);
  const [, different, unknown] = rows as [HTMLElement, HTMLElement, HTMLElement];
  expect(different).toHaveTextContent(/Passthrough.*Blocked.*502/);
  expect(unknown).toHaveTextContent(/Cannot tell.*\?/);
  const [why] = screen.getAllByTestId("compared-why") as [HTMLElement];
  expect(within(why).getByText(/ALLOW_ANY/)).toBeInTheDocument();
  expect(within(why).getByText(/REGISTRY_ONLY/)).toBeInTheDocument();
  await userEvent.click(screen.getByTestId("only-different"));
  await expect.poll(() => screen.getAllByTestId("compared-row")).toHaveLength(2);
  await userEvent.click(screen.getByTestId("stop-comparing"));
  expect((await screen.findAllByTestId("live-row")).length).toBeGreaterThan(0);
});

it("says what to do where nothing was compared yet, and why where the rows cannot be had", async () => {
  app.answers.compared = () => ({ rows: [], compared: 0, different: 0, unknown: 0 });
  await compare();
  expect(await screen.findByText(/Send a request above/)).toBeInTheDocument();
  app.answers.compared = () => {
    throw { code: "store", message: "The flows cannot be read.", hint: null, at: null };
  };
  await userEvent.click(screen.getByTestId("only-different"));
  expect(await screen.findByText("The flows cannot be read.")).toBeInTheDocument();
});

it("sends through one sidecar unless both are chosen", async () => {
  await compare();
  await userEvent.click(await id("console-send"));
  await userEvent.click(await id("console-both"));
  await userEvent.click(screen.getByTestId("console-send"));
  expect(app.asked("send_request").map((asked) => asked.through)).toEqual(["one", "both"]);
  expect(await id("console-beside")).toHaveTextContent(/Blocked.*502/);
});

it("offers a pinned policy once there is one, and says what it is", async () => {
  app.answers.sandbox_state = () => ({ ...example.sandbox, state: "stopped" });
  render(App);
  expect(await id("under-pinned")).toBeDisabled();
  expect(screen.getByTestId("compare-staged")).toBeDisabled();
  await userEvent.click(screen.getByTestId("pin"));
  expect(app.asked("pin_policy")).toEqual([{ policy: "source" }]);
  expect(await id("pinned")).toHaveTextContent("shop-mesh, 23 objects");
  await userEvent.click(screen.getByTestId("under-pinned"));
  await userEvent.click(screen.getByTestId("sandbox-start"));
  expect(app.asked("sandbox_start").at(-1)).toMatchObject({ policy: "pinned" });
  await userEvent.click(screen.getByTestId("unpin"));
  expect(navigation.sandboxPolicy).toBe("source");
});
