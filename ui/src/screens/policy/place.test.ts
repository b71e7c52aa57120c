/** What is open of one place ends with it. */
import { render, screen } from "@testing-library/svelte";
import { beforeEach, expect, it, vi } from "vitest";
import App from "../../App.svelte";
import * as example from "../../bridge/example";
import { record, type Recording } from "../../bridge/recording";
import { navigation } from "../../state/navigation.svelte";

let app: Recording;

beforeEach(() => {
  app = record();
});

it("closes a draft when another place is opened: it would be staged where it was not opened", async () => {
  render(App);
  await screen.findByTestId("overview-sentence");
  navigation.openDraft({ kind: "ServiceEntry", object: { namespace: "default", name: "httpbin" }, flowId: null });
  await screen.findByTestId("draft-discard");
  app.tell("source-changed", { ...example.source, epoch: example.source.epoch + 1 });
  expect(screen.getByTestId("draft-discard")).toBeInTheDocument();
  app.tell("source-changed", { ...example.source, path: "/elsewhere", name: "elsewhere" });
  await vi.waitFor(() => expect(screen.queryByTestId("draft-discard")).toBeNull());
  expect(navigation.draft).toBeNull();
});
