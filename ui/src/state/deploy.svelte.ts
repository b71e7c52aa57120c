/** A sidecar beside a workload of the cluster: what is chosen, what the checks found, how it stands, and what is left. */
import type { DeployChecks, DeployOptions, DeployState, Fault } from "../bridge/bindings";
import * as calls from "../bridge/calls";
import { asFault } from "../bridge/channel";
import { on } from "../bridge/events";
import * as words from "../words/deploy";
import { navigation } from "./navigation.svelte";
import { Query } from "./query.svelte";
import { everything } from "./store.svelte";
import { attempt, toasts } from "./toasts.svelte";

export const deployment = new Query(calls.deployState);
/** What other sessions left in the open cluster. */
export const deployLeft = new Query(calls.deployLeft, 1000);
/** The newest flows of what is deployed. */
export const deployedFlows = new Query(async () => {
  const session = deployment.value?.session ?? null;
  if (session === null) return [];
  return (await calls.logPage({ ...everything, text: `session:${session}` }, null, 40)).rows;
}, 250);

type Target = Pick<DeployOptions, "kind" | "workload">;

class Deploy {
  mode = $state<DeployOptions["mode"]>("observe");
  place = $state<DeployOptions["place"]>("copy");
  way = $state<DeployOptions["way"]>("capture");
  dns = $state<DeployOptions["dns"]>("workload");
  staged = $state(false);
  image = $state("");
  /** Chosen by a person; else the first one. */
  chosen = $state.raw<Target | null>(null);
  #checks = $state.raw<{ found: DeployChecks; target: Target } | null>(null);
  checking = $state(false);
  /** True while a start or a stop has not come to its end. */
  busy = $state(false);
  fault = $state.raw<Fault | null>(null);
  #asked = 0;

  /** What was found of this workload as things are chosen now; null before it was checked. */
  checksOf(target: Target | null): DeployChecks | null {
    const checked = this.#checks;
    const isIt = checked?.target.kind === target?.kind && checked?.target.workload === target?.workload;
    return checked && isIt ? checked.found : null;
  }

  options(target: Target): DeployOptions {
    const { mode, place, way, dns, staged, image } = this;
    return { ...target, mode, place, way, dns, staged, image: image.trim() };
  }

  /** A program that runs takes no variables any more. */
  goTo(place: DeployOptions["place"]): void {
    this.place = place;
    if (place === "pod") this.way = "capture";
  }

  /** Without redirection nothing leads DNS to the sidecar. */
  goBy(way: DeployOptions["way"]): void {
    this.way = way;
    if (way === "proxy" && this.dns === "on") this.dns = "workload";
  }

  /** What was found holds for what was chosen then. */
  changed(): void {
    this.#asked += 1;
    this.#checks = null;
    this.checking = false;
    this.fault = null;
  }

  async loadImage(): Promise<void> {
    if (this.image === "") this.image = (await attempt(calls.deployImage)) ?? "";
  }

  async check(target: Target): Promise<void> {
    this.changed();
    const asked = this.#asked;
    this.checking = true;
    try {
      const found = await calls.deployChecks(this.options(target));
      if (asked === this.#asked) this.#checks = { found, target };
    } catch (error) {
      if (asked === this.#asked) this.fault = asFault(error);
    } finally {
      if (asked === this.#asked) this.checking = false;
    }
  }

  async start(target: Target): Promise<void> {
    await this.#settle(() => calls.deployStart(this.options(target)));
    // It was found before the cluster was touched.
    this.#checks = null;
  }

  async stop(): Promise<void> {
    this.changed();
    await this.#settle(calls.deployStop);
  }

  async cancel(): Promise<void> {
    await attempt(calls.deployCancel);
  }

  /** With, or without, what is staged: at once where a sidecar runs. */
  async withStaged(staged: boolean): Promise<void> {
    this.staged = staged;
    if (deployment.value?.phase === "running") await attempt(() => calls.deployStaged(staged));
    else this.changed();
  }

  async remove(namespace: string, session: string): Promise<void> {
    this.fault = null;
    try {
      await calls.deployRemove(namespace, session);
      toasts.say(words.removed);
    } catch (error) {
      this.fault = asFault(error);
    }
    deployLeft.touch();
  }

  /** What earlier sessions left in a cluster is told of once, when it is opened. */
  async turnsToPlace(isCluster: boolean): Promise<void> {
    this.chosen = null;
    this.staged = false;
    this.changed();
    deployLeft.forget();
    if (!isCluster) return;
    await deployLeft.refresh();
    const count = deployLeft.value?.length ?? 0;
    if (count) toasts.say(words.left(count), { label: words.leftLabel, run: () => navigation.openSandbox("cluster") });
  }

  reset(): void {
    Object.assign(this, { mode: "observe", place: "copy", way: "capture", dns: "workload", staged: false });
    Object.assign(this, { image: "", chosen: null });
    this.busy = false;
    this.changed();
  }

  async #settle(work: () => Promise<DeployState>): Promise<void> {
    this.busy = true;
    this.fault = null;
    try {
      deployment.put(await work());
    } catch (error) {
      this.fault = asFault(error);
    } finally {
      this.busy = false;
    }
    deployLeft.touch();
  }
}

export const deploy = new Deploy();

export async function listenToDeployment(): Promise<() => void> {
  const stops = await Promise.all([
    on("deploy-changed", (state) => {
      deployment.put(state);
      deployedFlows.touch();
    }),
    on("flows-added", () => deployedFlows.touch()),
    // A cluster that was away when it was asked is asked again once it is back.
    on("source-changed", () => {
      if (deployLeft.fault !== null) deployLeft.touch();
    }),
  ]);
  return () => stops.forEach((stop) => stop());
}
