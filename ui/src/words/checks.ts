/** Words of the Checks screen. */
import type { ObjectRef } from "../bridge/bindings";
import { plural } from "./format";

export const fix = "Fix…";
export const fixAll = (count: number) => `Fix all ${count}`;
export const fixTitle = (change: string) => `Stages: ${change}. Nothing is written before Apply.`;
export const fixAllTitle = (code: string, count: number) =>
  `Stages the changes for ${plural(count, "finding")} of ${code} as one change set. Nothing is written before Apply.`;
export const inChangeSet = "in the change set";
export const notHere = (reason: string) => `Cannot be fixed here: ${reason}`;
export const copyCommand = "Copy as kubectl patch";
export const fixedToast = (count: number) => `Staged: ${plural(count, "fix", "fixes")}. Nothing is written yet.`;

export const moreFaults = (count: number) =>
  `${plural(count, "more place")} cannot be read. What is mended makes room for the next; egret-proxy check lists all.`;

/** A Namespace is in none. */
export const objectName = ({ kind, namespace, name }: ObjectRef) =>
  `${kind} ${namespace === "" ? name : `${namespace}/${name}`}`;
