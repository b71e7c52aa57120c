/** Bringing curl to where requests shall start: what is asked for, what it waits for, and Egret's own probes. */
import type { Fault } from "../bridge/bindings";
import * as calls from "../bridge/calls";
import { asFault } from "../bridge/channel";
import { on } from "../bridge/events";
import * as words from "../words/probe";
import { navigation } from "./navigation.svelte";
import { Query } from "./query.svelte";
import { attempt, toasts } from "./toasts.svelte";

/** Egret's probes that stand in the open cluster. */
export const probes = new Query(calls.probes);

class Probe {
  /** True while something is being brought or taken away. */
  busy = $state(false);
  /** What is waited for. */
  step = $state<string | null>(null);
  fault = $state.raw<Fault | null>(null);
  /** How many places were turned to: what was begun in one says nothing in another. */
  #place = 0;

  /** Adds a container to a pod of the workload; true when it runs. */
  async container(workload: string, image: string): Promise<boolean> {
    const pod = await this.#run(async () => {
      await calls.probeImage(image);
      return calls.probeContainer(workload);
    });
    if (pod !== null) toasts.say(words.containerDone(pod));
    return pod !== null;
  }

  /** Deploys a probe and gives the workload to send from, null when it did not come up. */
  async deploy(namespace: string, image: string): Promise<string | null> {
    const workload = await this.#run(async () => {
      await calls.probeImage(image);
      return calls.probeDeploy(namespace);
    });
    if (workload !== null) toasts.say(words.deploymentDone(workload));
    return workload;
  }

  async remove(namespace: string): Promise<boolean> {
    const done = await this.#run(async () => {
      await calls.probeRemove(namespace);
      return true;
    });
    if (done) toasts.say(words.removed(namespace));
    return done ?? false;
  }

  async stop(): Promise<void> {
    await attempt(calls.probeCancel);
  }

  /** A probe that an earlier session left in a cluster is told of once, when it is opened. */
  async turnsToPlace(isCluster: boolean): Promise<void> {
    this.#place += 1;
    Object.assign(this, { busy: false, step: null, fault: null });
    probes.forget();
    if (!isCluster) return;
    await probes.refresh();
    for (const { namespace } of probes.value ?? [])
      toasts.say(words.left(namespace), { label: words.leftLabel, run: () => navigation.go("sandbox") });
  }

  /** Null where it failed, or where another place was turned to meanwhile. */
  async #run<T>(work: () => Promise<T>): Promise<T | null> {
    const place = this.#place;
    const isHere = () => place === this.#place;
    this.busy = true;
    this.fault = null;
    try {
      const done = await work();
      return isHere() ? done : null;
    } catch (error) {
      if (isHere()) this.fault = asFault(error);
      return null;
    } finally {
      if (isHere()) Object.assign(this, { busy: false, step: null });
      probes.touch();
    }
  }
}

export const probe = new Probe();

export async function listenToProbes(): Promise<() => void> {
  const stops = await Promise.all([
    on("probe-changed", ({ step }) => {
      probe.step = step;
    }),
    on("source-changed", () => probes.touch()),
  ]);
  return () => stops.forEach((stop) => stop());
}
