/** What a place refuses stands at its line in Review, and at its field in the form. */
import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";
import App from "../../App.svelte";
import type { Finding, Review } from "../../bridge/bindings";
import * as example from "../../bridge/example";
import { record } from "../../bridge/recording";

const id = (name: string) => screen.findByTestId(name);
const [diff] = example.diffs;
const file = diff?.file ?? "";
const added = diff?.hunks[0]?.lines.find((line) => line.sign === "+");

function refusal(field: string, message: string, line: number): Finding {
  return {
    code: "REFUSED",
    level: "error",
    object: { kind: "ServiceEntry", namespace: "default", name: "google", file, line: 1 },
    field,
    file,
    line,
    column: 1,
    message,
    fix: null,
    offer: null,
  };
}

const refused = (findings: Finding[]) => reviewed({ findings, applicable: false, blockedBecause: "It is refused." });

/** The window in Review, where the answer to what is staged or previewed says this too. */
async function reviewed(told: Partial<Review>) {
  const { answers, base } = record();
  for (const command of ["review", "preview"])
    answers[command] = async (args) => ({ ...(await base.call<Review>(command, args)), ...told });
  render(App);
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-mode"));
  await userEvent.click(within(await id("mode-REGISTRY_ONLY")).getByRole("radio"));
  await userEvent.click(await id("stage"));
  await userEvent.click(await id("review-open"));
}

it("shows what is refused below its line, and what stands at no shown line at the head of its file", async () => {
  await refused([refusal("spec.hosts[0]", "nope is no host", added?.new ?? 0), refusal("", "not here", 9999)]);
  const [first] = await screen.findAllByTestId("diff-file");
  const section = within(first as HTMLElement);
  const lines = section.getAllByTestId("line-finding");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toHaveTextContent("nope is no host");
  expect(lines[0]?.previousElementSibling).toHaveTextContent(added?.text.trim() ?? "");
  expect(section.getAllByTestId("finding")[0]).toHaveTextContent("not here");
  expect(await id("apply")).toBeDisabled();
});

it("leads from a refused field to that field of the form", async () => {
  await refused([refusal("spec.ports[0].number", "70000 is no port", 1), refusal("spec.bogus", "unknown", 2)]);
  const [button] = await screen.findAllByTestId("mend");
  await userEvent.click(button as HTMLElement);
  expect(await id("draft-title")).toHaveTextContent("www.google.com");
  const found = await screen.findAllByTestId("field-finding");
  expect(found.map((each) => each.textContent.trim())).toEqual(["70000 is no port"]);
  expect(found[0]?.parentElement).toHaveTextContent("Ports");
  // No control of the form stands for it.
  const rest = await screen.findAllByTestId("finding");
  expect(rest[0]).toHaveTextContent("unknown");
});

it("offers the owner's own way first, to copy, and the shell's after it", async () => {
  const text = "helm upgrade istiod istio/istiod --reuse-values";
  const helm = {
    file,
    tool: "Helm (release istio-system/istiod)",
    effect: "the next upgrade resets it",
    advice: "Do.",
    text,
  };
  const argo = { file: "b.yaml", tool: "Argo CD (mesh)", effect: "it is taken back", advice: "Commit it.", text: null };
  await reviewed({ owners: [helm, argo] });
  const owners = await screen.findAllByTestId("owner");
  expect(owners[0]).toHaveTextContent(`${file} is managed by Helm (release istio-system/istiod).`);
  expect(owners[0]).toHaveTextContent("the next upgrade resets it");
  expect(within(owners[1] as HTMLElement).queryByTestId("copy-owners-way")).toBeNull();
  const shell = screen.getByText("Past the owner, in a shell");
  expect(owners[1]?.compareDocumentPosition(shell)).toBe(Node.DOCUMENT_POSITION_FOLLOWING);
  const user = userEvent.setup();
  await user.click(within(owners[0] as HTMLElement).getByTestId("copy-owners-way"));
  expect(await navigator.clipboard.readText()).toBe(text);
});

it("says in the form of a new object that there is one of its name already", async () => {
  await reviewed({ conflicts: [{ file, base: "", mine: "a", theirs: "b", by: null }] });
  await userEvent.click(await id("rail-policy"));
  await userEvent.click(await id("policy-services"));
  await userEvent.click(await id("service-new"));
  expect(await id("draft-conflict")).toHaveTextContent("There is an object of this name already.");
});
