/** A log window's questions to the stand-in: one flow, or a page of those that a query lets through. */
import type { Facet, Flow, LogPage, LogQuery } from "./bindings";

export function flowOf(flows: Flow[], id: number): Flow {
  const flow = flows.find((each) => each.id === id);
  if (!flow)
    throw { code: "gone", message: `Flow ${id} is no longer kept.`, hint: "Send the request again.", at: null };
  return flow;
}

export function pageOf(flows: Flow[], query: LogQuery, before: number | null, limit: number): LogPage {
  const among = <T>(list: T[], value: T) => list.length === 0 || list.includes(value);
  const matching = flows.filter(
    (flow) =>
      among(query.verdicts, flow.verdict) &&
      among(query.workloads, flow.workload) &&
      among(query.hosts, flow.name) &&
      among(query.statuses, flow.status) &&
      among(query.flags, flow.flags) &&
      `${flow.name} ${flow.path ?? ""} ${flow.cluster ?? ""}`.includes(query.text),
  );
  const tally = (field: Facet["field"], value: (flow: Flow) => string): Facet => {
    const counts = new Map<string, number>();
    for (const flow of matching) counts.set(value(flow), (counts.get(value(flow)) ?? 0) + 1);
    return {
      field,
      values: [...counts].map(([key, count]) => ({ value: key, count })).sort((a, b) => b.count - a.count),
    };
  };
  return {
    rows: matching.filter((flow) => before === null || flow.id < before).slice(-limit),
    matched: matching.length,
    kept: flows.length,
    total: flows.length,
    dropped: 0,
    firstId: flows[0]?.id ?? 0,
    lastId: flows.at(-1)?.id ?? 0,
    facets: [
      tally("verdict", (flow) => flow.verdict),
      tally("workload", (flow) => flow.workload),
      tally("host", (flow) => flow.name),
      tally("status", (flow) => String(flow.status)),
      tally("flags", (flow) => flow.flags),
    ],
    lagMs: 0,
    perSecond: flows.length ? Array.from({ length: 60 }, (_, index) => (index * 7) % 13) : [],
  };
}
