/**
 * What a log window shows: a run of consecutive matching rows out of the app's store, and the counters.
 * Rows never come by themselves: an event says that there are more, and the window pulls what it can show, at most
 * once every `pace` milliseconds and one call at a time. While paused the rows stand still and only counters move.
 */
import type { Fault, Flow, LogPage } from "../../bridge/bindings";
import * as calls from "../../bridge/calls";
import { asFault } from "../../bridge/channel";
import { logQuery } from "../../state/filter";

const pace = 100;
/**
 * More than the tallest screen shows; older rows are loaded when somebody scrolls up. Following a flood, this many rows
 * cross to the window ten times a second, which takes more of the machine than everything else about them.
 */
const tailRows = 200;
const olderRows = 500;
/** Rows kept in the page while scrolling back; beyond it the newer end is let go and comes back on Follow. */
export const rowBound = 20_000;

export class LogView {
  filter = $state("");
  following = $state(true);
  rows = $state.raw<Flow[]>([]);
  page = $state.raw<LogPage | null>(null);
  fault = $state.raw<Fault | null>(null);
  exhausted = $state(false);

  #totalAtPause = $state(0);
  #pulling = false;
  #again = false;
  #lastPull = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #generation = 0;

  /** Matching rows that came since the window was paused. */
  readonly waiting = $derived.by(() =>
    this.following || this.page === null ? 0 : Math.max(0, this.page.matched - this.#totalAtPause),
  );

  /** None of the rows shown is kept any more: the log was cleared, or so much came that they were let go. */
  readonly gone = $derived.by(() => {
    const last = this.rows.at(-1);
    return last !== undefined && this.page !== null && (this.page.kept === 0 || this.page.firstId > last.id);
  });

  changed(): void {
    if (this.#pulling) {
      this.#again = true;
      return;
    }
    if (this.#timer !== null) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        void this.pull();
      },
      Math.max(0, pace - (Date.now() - this.#lastPull)),
    );
  }

  setFilter(text: string): void {
    if (text === this.filter) return;
    this.filter = text;
    this.#restart();
  }

  follow(): void {
    this.following = true;
    this.#restart();
  }

  pause(): void {
    if (!this.following) return;
    this.following = false;
    this.#totalAtPause = this.page?.matched ?? 0;
  }

  async pull(): Promise<void> {
    if (this.#pulling) {
      this.#again = true;
      return;
    }
    this.#pulling = true;
    this.#lastPull = Date.now();
    const generation = this.#generation;
    // A fresh filter needs rows even while paused; otherwise a paused window asks for counters only.
    const wantRows = this.following || this.rows.length === 0;
    try {
      const page = await calls.logPage(logQuery(this.filter), null, wantRows ? tailRows : 1);
      if (generation === this.#generation) {
        if (wantRows) {
          this.rows = page.rows;
          this.exhausted = page.rows.length >= page.matched;
          if (!this.following) this.#totalAtPause = page.matched;
        }
        this.page = page;
        this.fault = null;
      }
    } catch (error) {
      this.fault = asFault(error);
    } finally {
      this.#pulling = false;
    }
    if (this.#again) {
      this.#again = false;
      this.changed();
    }
  }

  /** Loads rows before the first one; resolves to how many were put in front. */
  async older(): Promise<number> {
    const first = this.rows[0];
    if (!first || this.exhausted || this.#pulling) return 0;
    this.pause();
    this.#pulling = true;
    const generation = this.#generation;
    try {
      const page = await calls.logPage(logQuery(this.filter), first.id, olderRows);
      if (generation !== this.#generation) return 0;
      this.exhausted = page.rows.length < olderRows;
      this.rows = [...page.rows, ...this.rows].slice(0, rowBound);
      return page.rows.length;
    } catch (error) {
      this.fault = asFault(error);
      return 0;
    } finally {
      this.#pulling = false;
      if (this.#again) {
        this.#again = false;
        this.changed();
      }
    }
  }

  close(): void {
    this.#generation += 1;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #restart(): void {
    this.#generation += 1;
    this.rows = [];
    this.exhausted = false;
    void this.pull();
  }
}
