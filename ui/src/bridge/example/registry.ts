/** Kubernetes Services, DestinationRules and Gateways of the example. */
import type { DestinationRuleRow, GatewayRow, ObjectText, RegistryView } from "../bindings";
import { at } from "./policy";

const egressService = at("Service", "istio-system", "istio-egressgateway", "mesh/egress.yaml", 31);

const rule: DestinationRuleRow = {
  object: at("DestinationRule", "default", "egressgateway-for-cnn", "egress/cnn.yaml", 40),
  host: "istio-egressgateway.istio-system.svc.cluster.local",
  exportTo: [],
  tlsMode: "ISTIO_MUTUAL",
  portTlsModes: [],
  subsets: ["cnn"],
  appliesTo: [egressService],
  appliesToAll: 1,
};

export const registry: RegistryView = {
  services: [
    {
      object: egressService,
      host: "istio-egressgateway.istio-system.svc.cluster.local",
      addresses: ["10.96.0.20"],
      ports: [{ number: 443, name: "https", protocol: "HTTPS", targetPort: null }],
      headless: false,
      externalName: null,
      exportTo: [],
    },
    {
      object: at("Service", "shop", "search", "shop/search.yaml", 1),
      host: "search.shop.svc.cluster.local",
      addresses: [],
      ports: [],
      headless: false,
      externalName: "search.example.com",
      exportTo: [],
    },
  ],
  rules: [rule],
};

export const gateways: GatewayRow[] = [
  {
    object: at("Gateway", "istio-system", "egress", "mesh/egress.yaml", 1),
    egress: true,
    selector: [["istio", "egressgateway"]],
    servers: [{ port: 443, protocol: "TLS", tlsMode: "PASSTHROUGH", hosts: ["edition.cnn.com"], line: 8 }],
    workloads: ["istio-system/istio-egressgateway"],
    services: [egressService],
    routes: [
      {
        host: "edition.cnn.com",
        virtualService: at("VirtualService", "shop", "cnn", "egress/cnn.yaml", 20),
        ports: [443],
        fromMesh: true,
        onward: ["edition.cnn.com:443"],
      },
      {
        host: "www.google.com",
        virtualService: at("VirtualService", "default", "google", "egress/google.yaml", 20),
        ports: [],
        fromMesh: true,
        onward: ["www.google.com:443"],
      },
    ],
  },
  {
    object: at("Gateway", "shop", "ingress", "shop/ingress.yaml", 1),
    egress: false,
    selector: [["istio", "ingressgateway"]],
    servers: [],
    workloads: [],
    services: [],
    routes: [],
  },
];

export const objectText = (kind: string, namespace: string, name: string): ObjectText => ({
  object: at(kind, namespace, name, "mesh/egress.yaml", 31),
  yaml: `kind: ${kind}\nmetadata:\n  name: ${name}\n  namespace: ${namespace}`,
  rules: kind === "Service" && name === egressService.name ? [rule] : [],
});
