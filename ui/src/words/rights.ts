/** Words of permissions and of what a context leads to. */
import type { ContextFacts, Right } from "../bridge/bindings";

export const needs = (right: Right, namespace: string | null) => {
  const place = right.namespace ?? namespace;
  return `needs ${right.needs} in ${place ?? "all namespaces"}`;
};

export const copyRole = "Copy Role YAML";
export const notSeen = "not allowed to see";

export const dataPlane = ({ sidecars, ambient }: ContextFacts): string => {
  if (sidecars && ambient) return "sidecars and ambient";
  if (sidecars) return "sidecars";
  if (ambient) return "ambient";
  return sidecars === null || ambient === null ? notSeen : "none";
};

export const revision = (each: { name: string; versions: string[]; tags: string[] }): string => {
  const versions = each.versions.length ? each.versions.join(", ") : "no istiod";
  const tags = each.tags.length ? `, ${each.tags.length === 1 ? "tag" : "tags"} ${each.tags.join(", ")}` : "";
  return `${each.name} (${versions}${tags})`;
};

export const reach = (right: Right): string => {
  if (right.everywhere) return "yes";
  if (right.namespaces.length) return `in ${right.namespaces.join(", ")}`;
  return right.unsure ? "not known" : "no";
};

export const named = "Namespaces";
export const namedWhy = "Where not all may be listed, the context's own namespace and these are looked at one by one.";
export const namedNone = "where not all may be listed";
export const lookThere = "Look there";

export const allowTitle = "This kubeconfig runs a program on this computer for the credentials:";
export const allowText = "Allow it only if you trust the file. Another program would be asked about again.";
export const changedOnDisk = "The kubeconfig says something else of this context now.";
