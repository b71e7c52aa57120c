/** Where each line of a long list stands, and which of them are in sight. */

import { tick } from "svelte";

export interface Line<Row> {
  key: string;
  title: string;
  /** Null for the title of a group. */
  row: Row | null;
  top: number;
  height: number;
}

export function lines<Row>(
  groups: { title: string; rows: Row[] }[],
  id: (row: Row) => string,
  heights: { title: number; row: number | ((key: string) => number) },
): Line<Row>[] {
  const all: Line<Row>[] = [];
  const met = new Map<string, number>();
  let top = 0;
  const add = (name: string, title: string, row: Row | null, high: number | ((key: string) => number)) => {
    // A folder can declare an object twice: the second row is a row of its own.
    const times = met.get(name) ?? 0;
    met.set(name, times + 1);
    const key = times === 0 ? name : `${name} ${times}`;
    const height = typeof high === "number" ? high : high(key);
    all.push({ key, title, row, top, height });
    top += height;
  };
  for (const { title, rows } of groups) {
    add(`group ${title}`, title, null, heights.title);
    for (const row of rows) add(`row ${id(row)}`, title, row, heights.row);
  }
  return all;
}

/** The lines between `top` and `top + height`, with `spare` more of them at both ends. */
export function within<Row>(all: Line<Row>[], top: number, height: number, spare: number): Line<Row>[] {
  const first = Math.max(0, at(all, top) - spare);
  return all.slice(first, at(all, top + height) + 1 + spare);
}

/** The lines at these places, and those that are in sight, each with the room that it leaves to the one before. */
export function withGaps<Row>(all: Line<Row>[], seen: Line<Row>[], places: number[]): (Line<Row> & { gap: number })[] {
  const kept = places.flatMap((place) => all[place] ?? []).filter((line) => !seen.includes(line));
  const drawn = [...seen, ...kept].toSorted((a, b) => a.top - b.top);
  return drawn.map((line, index) => {
    const before = drawn[index - 1];
    return { ...line, gap: line.top - (before ? before.top + before.height : 0) };
  });
}

/**
 * Home and End. The ends of the list are not drawn when they are out of sight: they are brought there first, to
 * `height` at the end; `scrolled` takes over where the box stands.
 */
export async function toEnd(event: KeyboardEvent, box: HTMLElement, height: number, scrolled: () => void) {
  if (event.key !== "Home" && event.key !== "End") return;
  event.preventDefault();
  event.stopPropagation();
  box.scrollTop = event.key === "Home" ? 0 : height;
  scrolled();
  await tick();
  const rows = [...box.querySelectorAll<HTMLElement>("[data-row]")];
  (event.key === "Home" ? rows[0] : rows.at(-1))?.focus();
}

/** The line at `offset`: halves what is left until one line is. */
function at<Row>(all: Line<Row>[], offset: number): number {
  let [low, high] = [0, Math.max(0, all.length - 1)];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((all[middle]?.top ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
