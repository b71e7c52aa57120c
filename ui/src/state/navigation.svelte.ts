/** Where the person is: screen, tab, and the layers above it. Esc always closes the topmost layer only. */
import type { InWindow, PolicyChoice, Takes } from "../bridge/bindings";
import type { ObjectKind } from "../bridge/calls";

export const screens = ["overview", "destinations", "policy", "rehearse", "changes", "sandbox"] as const;
export type Screen = (typeof screens)[number] | "checks" | "review" | "why";
export type PolicyTab = "mode" | "services" | "timeouts" | "bypass" | "gateways";
export type Layer = "palette" | "keys" | "source" | "follow" | "access-log" | null;

export interface DraftTarget {
  kind: ObjectKind;
  /** An existing object, or null for a new one. */
  object: { namespace: string; name: string } | null;
  /** The flow a new draft is made from. */
  flowId: number | null;
}

/** An object that is only read here. */
export interface ReadTarget {
  kind: string;
  namespace: string;
  name: string;
}

class Navigation {
  screen = $state<Screen>("overview");
  policyTab = $state<PolicyTab>("services");
  layer = $state<Layer>(null);
  /** Where the source menu opens what is chosen in it. */
  sourceWindow = $state<InWindow>("this");
  draft = $state.raw<DraftTarget | null>(null);
  read = $state.raw<ReadTarget | null>(null);
  gateway = $state.raw<string | null>(null);
  modeScope = $state("mesh");
  destinationFilter = $state("");
  whyFlow = $state<number | null>(null);
  journalEntry = $state<number | null>(null);
  consoleUrl = $state("http://httpbin.org/headers");
  /** The workload that the sandbox shall act as, where one was chosen. */
  sandboxAs = $state<string | null>(null);
  /** The policy that the sandbox shall enforce. */
  sandboxPolicy = $state<PolicyChoice>("source");
  /** What of the workload the sandbox's commands shall get. */
  sandboxTakes = $state<Takes>("nothing");
  rehearse = $state<"staged" | "registryOnly">("registryOnly");
  /** Where the sidecar of the Sandbox is: the second one only where a cluster is open. */
  sandbox = $state<"computer" | "cluster">("computer");
  #before: Screen = "overview";

  go(screen: Screen): void {
    if (screen !== this.screen && this.screen !== "why") this.#before = this.screen;
    this.screen = screen;
    this.layer = null;
  }

  openSandbox(where: "computer" | "cluster"): void {
    this.sandbox = where;
    this.go("sandbox");
  }

  openSourceMenu(window: InWindow): void {
    this.sourceWindow = window;
    this.layer = "source";
  }

  /** Closes this layer, and no other that has come in its place. */
  closes(layer: Exclude<Layer, null>): void {
    if (this.layer === layer) this.layer = null;
  }

  openWhy(flowId: number): void {
    this.whyFlow = flowId;
    this.go("why");
  }

  openDraft(target: DraftTarget): void {
    this.draft = target;
    this.read = null;
    this.policyTab = target.kind === "ServiceEntry" ? "services" : "timeouts";
    this.go("policy");
  }

  /** Shows a Service or a DestinationRule among the services. */
  openRead({ kind, namespace, name }: ReadTarget): void {
    this.read = { kind, namespace, name };
    this.draft = null;
    this.openTab("services");
  }

  openTab(tab: PolicyTab): void {
    this.policyTab = tab;
    this.go("policy");
  }

  /** Opens the console with this URL: beside a workload of the cluster there is one only while a sidecar runs there. */
  test(url: string): void {
    this.consoleUrl = url;
    this.sandbox = "computer";
    this.go("sandbox");
  }

  /** The yes to Secrets was for the workload that was chosen. */
  actAs(workload: string | null): void {
    if (workload !== this.sandboxAs && this.sandboxTakes === "secrets") this.sandboxTakes = "variables";
    this.sandboxAs = workload;
  }

  /** Opens the sandbox with this workload chosen. */
  runAs(workload: string): void {
    this.actAs(workload);
    this.sandbox = "computer";
    this.go("sandbox");
  }

  /** What was chosen of one place's workloads and edits says nothing of another's. */
  turnsToPlace(): void {
    this.sandboxAs = null;
    this.sandboxPolicy = "source";
    this.sandboxTakes = "nothing";
  }

  /** What is open of one place is not there in another: a draft would be staged where it was not opened. */
  leavesPlace(): void {
    this.draft = null;
    this.read = null;
    this.gateway = null;
    this.whyFlow = null;
    this.journalEntry = null;
    this.modeScope = "mesh";
    this.destinationFilter = "";
    if (this.screen === "why" || this.screen === "review") this.go("overview");
  }

  /** Closes the topmost layer; true when there was one. */
  escape(): boolean {
    if (this.layer !== null) {
      this.layer = null;
      return true;
    }
    if (this.screen === "why" || this.screen === "review") {
      this.go(this.#before === this.screen ? "overview" : this.#before);
      return true;
    }
    return false;
  }

  reset(): void {
    this.screen = "overview";
    this.policyTab = "services";
    this.layer = null;
    this.sourceWindow = "this";
    this.leavesPlace();
    this.turnsToPlace();
    this.sandbox = "computer";
    this.rehearse = "registryOnly";
    this.#before = "overview";
  }
}

export const navigation = new Navigation();
