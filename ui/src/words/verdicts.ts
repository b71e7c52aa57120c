/** The four verdicts and three modes, in the words that the app, the docs and the code share. */
import type { Mode, Verdict } from "../bridge/bindings";

export const verdictOrder: Verdict[] = ["registered", "passthrough", "blocked", "bypassed"];

export const verdictWord: Record<Verdict, string> = {
  registered: "Registered",
  passthrough: "Passthrough",
  blocked: "Blocked",
  bypassed: "Bypassed",
};

export const verdictMeaning: Record<Verdict, string> = {
  registered: "policy names it",
  passthrough: "unknown, let through",
  blocked: "unknown, refused",
  bypassed: "the sidecar never sees it",
};

/** A step of the trace as it is read; scripts get it with an underscore. */
export const stepWord = (step: string) => step.replaceAll("_", " ");

export const modes: { mode: Mode; meaning: string }[] = [
  { mode: "ALLOW_ANY", meaning: "Unknown destinations pass." },
  { mode: "ALLOW_ANY_DYNAMIC_DNS", meaning: "Unknown ones pass; HTTP is looked up by Host." },
  { mode: "REGISTRY_ONLY", meaning: "Unknown ones get 502, or the connection is cut." },
];
