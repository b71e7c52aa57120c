/** Services of every kind in one list, and gateways hop by hop. */
import { render, screen, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import type { RegistryView } from "../../bridge/bindings";
import * as example from "../../bridge/example";
import { record } from "../../bridge/recording";
import Gateways from "./Gateways.svelte";
import Services from "./Services.svelte";

beforeEach(() => {
  record();
});

it("lists Kubernetes Services and DestinationRules beside ServiceEntries, and narrows to a kind", async () => {
  render(Services, { view: example.policy });
  expect(await screen.findAllByTestId("registered-row")).toHaveLength(3);
  expect(screen.getAllByTestId("service-row")).toHaveLength(4);
  await userEvent.selectOptions(screen.getByTestId("service-kind"), "Service");
  expect(screen.queryAllByTestId("service-row")).toHaveLength(0);
  expect(screen.getAllByTestId("registered-row").map((row) => row.dataset.kind)).toEqual(["Service", "Service"]);
  expect(screen.getByTestId("service-tally")).toHaveTextContent("2 of 7 shown");
});

it("shows a Service read-only, with its YAML and the DestinationRule for it", async () => {
  render(Services, { view: example.policy });
  const rows = await screen.findAllByTestId("registered-row");
  await userEvent.click(rows.find((row) => row.dataset.name === "istio-system/istio-egressgateway") as HTMLElement);
  expect(await screen.findByTestId("object-yaml")).toHaveTextContent("kind: Service");
  expect(screen.getByText("read-only")).toBeInTheDocument();
  await userEvent.click(within(await screen.findByTestId("rules")).getByRole("button"));
  expect(await screen.findByTestId("applies-to")).toHaveTextContent("Service istio-system/istio-egressgateway");
});

it("draws few of twenty thousand Services, and finds any of them", async () => {
  const [service] = example.registry.services;
  if (!service) throw new Error("the example has a service");
  const many: RegistryView = {
    services: Array.from({ length: 20_000 }, (_, index) => ({
      ...service,
      host: `s-${index}.ns-${index % 100}.svc.cluster.local`,
      object: { ...service.object, namespace: `ns-${index % 100}`, name: `s-${index}` },
    })),
    rules: [],
  };
  record().answers.registry = () => many;
  render(Services, { view: example.policy });
  await vi.waitFor(() => expect(screen.getByTestId("service-tally")).toHaveTextContent("20,004 of 20,004 shown"));
  expect(screen.getAllByTestId("registered-row").length).toBeLessThan(100);
  await userEvent.type(screen.getByLabelText("Find a service"), "s-19999.");
  expect(screen.getAllByTestId("registered-row")).toHaveLength(1);
});

it("names each hop of a gateway's hosts, and what is missing of one", async () => {
  render(Gateways);
  const routes = await screen.findAllByTestId("gateway-route");
  expect(routes[0]).toHaveTextContent("edition.cnn.com");
  expect(routes[0]).toHaveTextContent("443");
  expect(screen.getByText(/www\.google\.com: no server of the Gateway takes it/)).toBeInTheDocument();
  expect(screen.getByTestId("gateway-sentence")).toHaveTextContent("Sidecars send 2 hosts out by it.");
  await userEvent.click(screen.getAllByTestId("gateway-row")[1] as HTMLElement);
  expect(screen.getByTestId("gateway-title")).toHaveTextContent("shop/ingress");
  expect(screen.getByTestId("gateway-workloads")).toHaveTextContent("nothing listens for it");
});
