/**
 * One answer of the app, kept for the screens that show it.
 * A query reloads when something it depends on has changed (`touch`), never on a clock. Touches that arrive while it
 * loads, or sooner than `pace` milliseconds after the last load, become one reload. The last good answer stays on
 * screen when a reload fails; the fault stands beside it.
 */
import { untrack } from "svelte";
import type { Fault } from "../bridge/bindings";
import { asFault } from "../bridge/channel";

export class Query<T> {
  value = $state.raw<T | null>(null);
  fault = $state.raw<Fault | null>(null);
  loadedAt = $state.raw<number | null>(null);

  #load: () => Promise<T>;
  #pace: number;
  #watchers = 0;
  #stale = true;
  #loading: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #generation = 0;

  constructor(load: () => Promise<T>, pace = 0) {
    this.#load = load;
    this.#pace = pace;
  }

  /** Call inside an effect: loads when needed and keeps the answer fresh until the effect ends. */
  watch(): () => void {
    this.#watchers += 1;
    // The effect that watches must not run again for what watching reads.
    if (this.#stale) untrack(() => this.#schedule());
    return () => {
      this.#watchers -= 1;
    };
  }

  /** Says that the answer may be different now. */
  touch(): void {
    this.#stale = true;
    if (this.#watchers > 0) this.#schedule();
  }

  /** Takes an answer that an event or another call brought along. */
  put(value: T): void {
    this.#generation += 1;
    this.#settle(value);
  }

  /** Loads now and resolves when the answer is there. */
  async refresh(): Promise<void> {
    const underWay = this.#loading;
    if (underWay !== null) await underWay;
    // What was asked for before the answer was forgotten, or could be another one, is not what is asked for now.
    if (underWay !== null && !this.#stale) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#loading ??= this.#run();
    await this.#loading;
  }

  /** Drops the answer; a call under way no longer counts. */
  forget(): void {
    this.#generation += 1;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.value = null;
    this.fault = null;
    this.loadedAt = null;
    this.#stale = true;
  }

  #schedule(): void {
    if (this.#timer !== null || this.#loading !== null) return;
    const since = this.loadedAt === null ? Infinity : Date.now() - this.loadedAt;
    this.#timer = setTimeout(() => void this.refresh(), Math.max(0, this.#pace - since));
  }

  async #run(): Promise<void> {
    this.#stale = false;
    const generation = this.#generation;
    try {
      const value = await this.#load();
      if (generation === this.#generation) this.#settle(value);
    } catch (error) {
      this.fault = asFault(error);
      this.loadedAt ??= Date.now();
    } finally {
      this.#loading = null;
    }
    if (this.#stale && this.#watchers > 0) this.#schedule();
  }

  #settle(value: T): void {
    this.value = value;
    this.fault = null;
    this.loadedAt = Date.now();
  }
}
