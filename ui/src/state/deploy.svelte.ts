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
  /** True once a start was called off, until it has come to its end. */
  calledOff = $state(false);
  /** What is being removed of what is left. */
  removing = $state<string | null>(null);
  /** Why that could not be removed; what is left is shown on more than one screen. */
  leftFault = $state.raw<Fault | null>(null);
  fault = $state.raw<Fault | null>(null);
  #asked = 0;
  /** How many places were turned to: what was begun in one says nothing in another. */
  #place = 0;

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

  /** Call when the field appears: who empties it wants to write another one. */
  async loadImage(): Promise<void> {
    if (this.image !== "") return;
    const image = await attempt(calls.deployImage);
    if (this.image === "") this.image = image ?? "";
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
    const isHere = await this.#settle(() => calls.deployStart(this.options(target)));
    // It was found before the cluster was touched.
    if (isHere) this.#checks = null;
  }

  async stop(): Promise<void> {
    this.changed();
    await this.#settle(calls.deployStop);
  }

  async cancel(): Promise<void> {
    this.calledOff = true;
    try {
      await calls.deployCancel();
    } catch (error) {
      toasts.fail(error);
      this.calledOff = false;
    }
  }

  /** With, or without, what is staged: at once where a sidecar runs. */
  async withStaged(staged: boolean): Promise<void> {
    const before = this.staged;
    this.staged = staged;
    if (deployment.value?.phase !== "running") return this.changed();
    try {
      await calls.deployStaged(staged);
    } catch (error) {
      toasts.fail(error);
      this.staged = before;
    }
  }

  async remove(namespace: string, session: string): Promise<void> {
    const place = this.#place;
    this.leftFault = null;
    this.removing = session;
    try {
      await calls.deployRemove(namespace, session);
      if (place === this.#place) toasts.say(words.removed);
    } catch (error) {
      if (place === this.#place) this.leftFault = asFault(error);
    }
    if (place === this.#place) this.removing = null;
    deployLeft.touch();
  }

  /** What earlier sessions left in a cluster is told of once, when it is opened. */
  async turnsToPlace(isCluster: boolean): Promise<void> {
    this.#place += 1;
    this.chosen = null;
    this.staged = false;
    this.#rest();
    deployLeft.forget();
    if (!isCluster) return;
    await deployLeft.refresh();
    const count = deployLeft.value?.length ?? 0;
    if (count) toasts.say(words.left(count), { label: words.leftLabel, run: () => navigation.openSandbox("cluster") });
  }

  reset(): void {
    Object.assign(this, { mode: "observe", place: "copy", way: "capture", dns: "workload", staged: false });
    Object.assign(this, { image: "", chosen: null });
    this.#rest();
  }

  /** Nothing is under way. */
  #rest(): void {
    Object.assign(this, { busy: false, calledOff: false, removing: null, leftFault: null });
    this.changed();
  }

  /** False where another place was turned to meanwhile. */
  async #settle(work: () => Promise<DeployState>): Promise<boolean> {
    const place = this.#place;
    this.busy = true;
    this.fault = null;
    try {
      const state = await work();
      if (place === this.#place) deployment.put(state);
    } catch (error) {
      if (place === this.#place) this.fault = asFault(error);
    }
    deployLeft.touch();
    if (place !== this.#place) return false;
    Object.assign(this, { busy: false, calledOff: false });
    return true;
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
