/**
 * What the app knows, as the screens share it: one query for each question, and the wiring from events to queries.
 * Flow events come many times a second, so the answers that only summarise flows have a pace.
 */
import * as calls from "../bridge/calls";
import { on } from "../bridge/events";
import type { LogQuery } from "../bridge/bindings";
import { Query } from "./query.svelte";

export const everything: LogQuery = { text: "", verdicts: [], workloads: [], hosts: [], statuses: [], flags: [] };

export const source = new Query(calls.sourceState);
export const overview = new Query(calls.overview, 500);
export const policy = new Query(calls.policyView);
/** Kubernetes Services and DestinationRules: many, and asked for only where they are shown. */
export const registry = new Query(calls.registry, 1000);
export const gateways = new Query(calls.gateways, 500);
export const destinations = new Query(calls.destinations, 500);
export const staged = new Query(calls.staged);
export const review = new Query(calls.review, 500);
export const journal = new Query(calls.journal);
/** Changes that wait to be kept. */
export const unconfirmed = new Query(calls.unconfirmed);
/** Whether a cluster's sidecars have the newest change. */
export const sync = new Query(calls.syncState);
export const sandbox = new Query(calls.sandboxState);
/** What is pinned, and the policy that decides beside the one that the sandbox enforces. */
export const comparison = new Query(calls.comparison);
/** Pods and the restart under way; null where the source is a folder. */
export const pods = new Query(calls.pods, 300);
export const workloads = new Query(calls.workloads);
export const kubeconfigs = new Query(calls.listKubeconfigs);
/** The context that is being connected to. */
export const connecting = new Query(calls.connecting);
/** Where a cluster's flows come from. */
export const logSource = new Query(calls.logSource, 1000);
/** The newest flows, for the live list of the sandbox and the counters of the status bar. */
export const newest = new Query(() => calls.logPage(everything, null, 40), 250);

const all = [
  source,
  overview,
  policy,
  registry,
  gateways,
  destinations,
  staged,
  review,
  journal,
  unconfirmed,
  sync,
  sandbox,
  comparison,
  pods,
  workloads,
  kubeconfigs,
  connecting,
  logSource,
  newest,
];

/** Drops every answer, as when nothing has been asked yet. */
export function forgetAll(): void {
  for (const query of all) query.forget();
}

/** Connects events to queries; returns the way to disconnect. */
export async function connect(): Promise<() => void> {
  const unlisten = await Promise.all([
    on("source-changed", (state) => {
      source.put(state);
      for (const query of [
        overview,
        policy,
        registry,
        gateways,
        destinations,
        review,
        workloads,
        pods,
        kubeconfigs,
        logSource,
      ])
        query.touch();
    }),
    on("staged-changed", (edits) => {
      staged.put(edits);
      for (const query of [overview, policy, review]) query.touch();
    }),
    on("sandbox-changed", (state) => {
      sandbox.put(state);
      overview.touch();
    }),
    on("comparison-changed", () => comparison.touch()),
    on("flows-added", () => {
      for (const query of [newest, overview, destinations, review]) query.touch();
    }),
    on("journal-changed", () => {
      for (const query of [journal, unconfirmed]) query.touch();
    }),
    on("sync-changed", () => sync.touch()),
    on("pods-changed", () => pods.touch()),
    on("connecting-changed", (state) => connecting.put(state)),
    on("logs-changed", () => {
      for (const query of [logSource, overview]) query.touch();
    }),
  ]);
  return () => unlisten.forEach((stop) => stop());
}
