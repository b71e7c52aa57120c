/** Where the example cluster's flows come from. */
import type { LogSource } from "../bindings";
import { at } from "./policy";

export const logSource: LogSource = {
  follow: {
    pods: 62,
    followed: 50,
    bound: 50,
    workloads: [
      { name: "default/sleep", pods: 2, followed: 2 },
      { name: "shop/cart", pods: 40, followed: 40 },
      { name: "shop/mail", pods: 20, followed: 8 },
    ],
    chosen: [],
    unread: 3,
    unreadBecause: "accessLogFormat of ConfigMap istio-system/istio lacks the host.",
    gaps: 0,
    failing: 0,
    failingBecause: null,
    fault: null,
  },
  accessLog: {
    workloads: 3,
    off: 1,
    firstOff: ["shop/mail"],
    because: "Telemetry shop/quiet switches access logs off.",
    twice: null,
    unknown: null,
    removal: null,
    switchedOn: [
      {
        scope: "namespace default",
        object: at("Telemetry", "default", "egret-access-log", "Telemetry/default.egret-access-log.yaml", 1),
        until: "2026-11-23T14:30:00Z",
        overdue: false,
      },
    ],
  },
};
