import { describe, expect, it } from "vitest";
import * as example from "../bridge/example";
import { whyEmpty, type Watched } from "./destinations";

const stopped = { ...example.sandbox, state: "stopped" as const };
const log = example.logSource;
const allOff = { ...log.accessLog, off: log.accessLog.workloads };
const fault = { code: "io", message: "no route", hint: null, at: null };
const followed: Watched = { log, forbidden: null };
const blind = {
  ...example.bypass,
  injectors: example.bypass.injectors.map((each) => ({ ...each, includeRanges: "" })),
};

describe("why no flow is seen in a cluster", () => {
  it.each<[string, Watched, typeof blind, string, string]>([
    ["nothing left", followed, example.bypass, "Nothing has left yet", "log"],
    ["no permission", { log, forbidden: "needs get pods/log in shop" }, example.bypass, "may not be read", "log"],
    ["logging off", { log: { ...log, accessLog: allOff }, forbidden: null }, example.bypass, "is off", "log"],
    [
      "no log",
      { log: { ...log, follow: { ...log.follow, fault } }, forbidden: null },
      example.bypass,
      "can be read",
      "log",
    ],
    ["nothing captured", followed, blind, "goes round the sidecar", "ranges"],
  ])("is %s", (_, cluster, bypass, title, action) => {
    const cause = whyEmpty(stopped, bypass, cluster);
    expect(cause.title).toContain(title);
    expect(cause.action).toBe(action);
  });

  it("is never that no sidecar runs", () => {
    expect(whyEmpty(stopped, null, { log: null, forbidden: null }).title).not.toContain("No sidecar runs");
    expect(whyEmpty(stopped, null, null).title).toContain("No sidecar runs");
  });
});
