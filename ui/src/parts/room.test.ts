/** What gives way where a pane is narrow, and what never does. */
import { render, screen, within } from "@testing-library/svelte";
import { afterEach, expect, it } from "vitest";
import type { Flow } from "../bridge/bindings";
import * as example from "../bridge/example";
import LiveRows from "../screens/sandbox/LiveRows.svelte";
import ImpactTable from "./ImpactTable.svelte";

const laidOut = Object.getOwnPropertyDescriptor(Element.prototype, "clientWidth") as PropertyDescriptor;

function wide(width: number) {
  Object.defineProperty(Element.prototype, "clientWidth", { configurable: true, get: () => width });
}

afterEach(() => Object.defineProperty(Element.prototype, "clientWidth", laidOut));

const heads = () => screen.getAllByRole("columnheader").map((head) => head.textContent);

it.each([
  [1000, ["Was", "to", "Would be", "Destination", "Caller", "Flows", "Because"]],
  [700, ["Was", "to", "Would be", "Destination", "Caller", "Flows"]],
])("leaves the reasons of an impact to their titles in %d pixels or not", (width, columns) => {
  wide(width);
  render(ImpactTable, { impact: example.impact });
  expect(heads()).toEqual(columns);
});

it("lists an impact where a table would cut its destinations, with callers and reasons", () => {
  wide(480);
  render(ImpactTable, { impact: example.impact });
  expect(screen.queryByRole("table")).toBeNull();
  const [first] = example.impact.newlyBlocked;
  const row = screen.getAllByTestId("impact-row")[0] as HTMLElement;
  expect(row).toHaveTextContent(`${first?.host}:${first?.port}`);
  expect(row).toHaveTextContent(`${first?.workload}: ${first?.afterWhy}`);
});

it.each([
  [900, ["Time", "Verdict", "Destination", "Code", "Flags", "Took", "Cluster"]],
  [580, ["Time", "Verdict", "Destination", "Code", "Flags", "Took"]],
  [470, ["Time", "Verdict", "Destination", "Code", "Took"]],
])("keeps destinations readable in a live list of %d pixels", (width, columns) => {
  wide(width);
  render(LiveRows, { rows: [{ ...(example.flows[0] as Flow), name: "mongo.example.com", port: 27017, path: null }] });
  expect(heads()).toEqual(columns);
  const destination = within(screen.getByTestId("live-row")).getByRole("button");
  expect(destination).toHaveAttribute("title", "Why? mongo.example.com:27017");
  // The port is an element of its own: the host's may be cut short.
  expect(within(destination).getByText(":27017")).toBeVisible();
});
