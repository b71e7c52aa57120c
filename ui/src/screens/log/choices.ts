/** What can be chosen to be followed: each namespace, then its workloads. */
import type { FollowedWorkload, FollowView } from "../../bridge/bindings";

export function choicesOf(follow: FollowView): FollowedWorkload[] {
  const namespaces = new Map<string, FollowedWorkload>();
  for (const each of follow.workloads) {
    const name = each.name.split("/")[0] ?? "";
    const own = namespaces.get(name) ?? { name, pods: 0, followed: 0 };
    namespaces.set(name, { name, pods: own.pods + each.pods, followed: own.followed + each.followed });
  }
  return [...namespaces.values(), ...follow.workloads].sort((a, b) => a.name.localeCompare(b.name));
}
