/** Everything that the Services list shows, in one form: what policy registers, what Kubernetes does, and the rules for it. */
import type {
  DestinationRuleRow,
  KubernetesServiceRow,
  PolicyView,
  RegistryView,
  ServiceRow,
} from "../../bridge/bindings";

export type ListedKind = "ServiceEntry" | "Service" | "DestinationRule";
export type Listed = { key: string; namespace: string; name: string; hay: string } & (
  | { kind: "ServiceEntry"; row: ServiceRow }
  | { kind: "Service"; row: KubernetesServiceRow }
  | { kind: "DestinationRule"; row: DestinationRuleRow }
);

const of = ({ namespace, name }: { namespace: string; name: string }, kind: ListedKind, hosts: string[]) => ({
  key: `${kind} ${namespace}/${name}`,
  namespace,
  name,
  hay: `${hosts.join(" ")} ${namespace}/${name}`.toLowerCase(),
});

export function listed(view: PolicyView, registry: RegistryView | null): Listed[] {
  return [
    ...view.services.map((row): Listed => ({
      ...of(row.object, "ServiceEntry", row.hosts),
      kind: "ServiceEntry",
      row,
    })),
    ...(registry?.services ?? []).map((row): Listed => ({
      ...of(row.object, "Service", [row.host]),
      kind: "Service",
      row,
    })),
    ...(registry?.rules ?? []).map((row): Listed => ({
      ...of(row.object, "DestinationRule", [row.host]),
      kind: "DestinationRule",
      row,
    })),
  ];
}
