/** Heights of a long list's rows where they differ, as they were drawn; a guess for those that never were. */
import { SvelteMap } from "svelte/reactivity";
import type { Line } from "./windowed";

export class Heights {
  readonly #guess: number;
  readonly #known = new SvelteMap<string, number>();

  constructor(guess: number) {
    this.#guess = guess;
  }

  of = (key: string) => this.#known.get(key) ?? this.#guess;

  /** Measures what is drawn ([data-line] has its key); gives how much higher it is than was known above `top`. */
  measure<Row>(box: HTMLElement, drawn: Line<Row>[], top: number): number {
    const elements = [...box.querySelectorAll<HTMLElement>("[data-line]")];
    const heights = Object.fromEntries(
      elements.map((each) => [each.dataset.line, each.getBoundingClientRect().height]),
    );
    let above = 0;
    for (const line of drawn) {
      // Without a layout everything is 0 high.
      const height = heights[line.key] || line.height;
      if (Math.abs(height - line.height) < 0.5) continue;
      this.#known.set(line.key, height);
      if (line.top + line.height <= top) above += height - line.height;
    }
    return above;
  }
}
