/** The sidecar's image on its way to the nodes: which way is chosen, and how it stands. */
import type { DeliveryChoice, DeliveryState, DeliveryWay, Fault } from "../bridge/bindings";
import * as calls from "../bridge/calls";
import { asFault } from "../bridge/channel";
import { on } from "../bridge/events";
import { deploy } from "./deploy.svelte";
import { Query } from "./query.svelte";
import { attempt } from "./toasts.svelte";

export const delivery = new Query(calls.deliverState);

class Deliver {
  /** The ways are shown. */
  open = $state(false);
  /** Chosen by a person; else the first that can be gone. */
  way = $state<DeliveryWay | null>(null);
  reference = $state("");
  fault = $state.raw<Fault | null>(null);

  chosen(choices: DeliveryChoice[]): DeliveryChoice | undefined {
    return choices.find((each) => each.way === this.way) ?? choices.find((each) => each.refused === null) ?? choices[0];
  }

  /** Delivers it; once it is there, pods are to find it, and everything is checked again. */
  async start(way: DeliveryWay, target: { kind: string; workload: string }): Promise<void> {
    this.fault = null;
    const { chosen } = deploy;
    let state: DeliveryState;
    try {
      state = await calls.deliver(way, way === "registry" ? this.reference.trim() : "");
    } catch (error) {
      this.fault = asFault(error);
      return;
    }
    delivery.put(state);
    if (state.phase !== "done" || state.image === null) return;
    this.open = false;
    deploy.image = state.image;
    // Another workload that was chosen meanwhile is another question.
    if (deploy.chosen === chosen) await deploy.check(target);
    else deploy.changed();
  }

  async cancel(): Promise<void> {
    await attempt(calls.deliverCancel);
  }

  reset(): void {
    Object.assign(this, { open: false, way: null, reference: "", fault: null });
  }
}

export const deliver = new Deliver();

export const listenToDelivery = () => on("delivery-changed", (state) => delivery.put(state));
