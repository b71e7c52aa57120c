/** Heights of a long list's rows where they differ, as they were drawn; a guess for those that never were. */
import type { Line } from "./windowed";

export class Heights {
  readonly #guess: number;
  #known = $state.raw<Map<string, number>>(new Map());

  constructor(guess: number) {
    this.#guess = guess;
  }

  of = (key: string) => this.#known.get(key) ?? this.#guess;

  /** Measures what is drawn ([data-line] has its key); gives how much higher it is than was known above `top`. */
  measure<Row>(box: HTMLElement, drawn: Line<Row>[], top: number): number {
    const elements = [...box.querySelectorAll<HTMLElement>("[data-line]")];
    const heights = new Map(elements.map((each) => [each.dataset.line, each.getBoundingClientRect().height]));
    const found = new Map<string, number>();
    let above = 0;
    for (const line of drawn) {
      // Without a layout everything is 0 high.
      const height = heights.get(line.key) || line.height;
      if (Math.abs(height - line.height) < 0.5) continue;
      found.set(line.key, height);
      if (line.top + line.height <= top) above += height - line.height;
    }
    if (found.size > 0) this.#known = new Map([...this.#known, ...found]);
    return above;
  }
}
