/** Example data of two policies side by side. */
import type { ComparedPage, ComparedRow, Comparison, Flow, OtherWay, Pinned, SentBeside } from "../bindings";
import { flows } from "./traffic";

export const pinned: Pinned = { source: "shop-mesh", staged: 0, objects: 23, at: "2026-11-23T13:50:00Z" };

export const notCompared: Comparison = {
  pinned: null,
  with: null,
  policyHash: null,
  fault: null,
  beside: "stopped",
  besideFault: null,
};

export const comparison: Comparison = { ...notCompared, with: "staged", policyHash: "5d20b771", beside: "running" };

const allowed = "ALLOW_ANY holds in the mesh: let through to its own address";
const refused = "REGISTRY_ONLY holds in the mesh: cut";

const like = (flow: Flow): OtherWay => ({
  verdict: flow.verdict,
  status: flow.status,
  flags: flow.flags,
  cluster: flow.cluster,
  likeness: "same",
  reason: allowed,
  reasonInForce: allowed,
  note: null,
  sent: false,
});

const of = (verdict: Flow["verdict"], other: (flow: Flow) => OtherWay): ComparedRow[] => {
  const flow = flows.find((each) => each.verdict === verdict);
  return flow ? [{ flow, other: other(flow) }] : [];
};

export const compared: ComparedPage = {
  rows: [
    ...of("registered", like),
    ...of("passthrough", (flow) => ({
      ...like(flow),
      verdict: "blocked",
      status: 502,
      flags: "-",
      cluster: null,
      likeness: "different",
      reason: refused,
    })),
    ...of("bypassed", (flow) => ({
      ...like(flow),
      verdict: null,
      status: null,
      flags: null,
      cluster: null,
      likeness: "unknown",
      reason: "not known",
      note: "it decides by the first bytes, for which nobody waited",
    })),
  ],
  compared: 3,
  different: 1,
  unknown: 1,
};

export const sentBeside: SentBeside = { verdict: "blocked", status: 502, exit: 0, tookMs: 3, line: null };
