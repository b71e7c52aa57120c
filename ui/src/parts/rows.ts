/**
 * Keys inside a list: j, k and the arrows move between its rows ([data-row]); the list is one tab stop.
 * Single letters can act on the row in focus.
 */
import type { Attachment } from "svelte/attachments";
import { typing } from "../frame/keys";

export function rowKeys(letters: Record<string, (row: HTMLElement) => void> = {}): Attachment<HTMLElement> {
  return (list) => {
    const rows = () => [...list.querySelectorAll<HTMLElement>("[data-row]")];
    const single = (chosen?: HTMLElement) => {
      const all = rows();
      const stop = chosen ?? all.find((row) => row.getAttribute("tabindex") === "0") ?? all[0];
      for (const row of all) row.tabIndex = row === stop ? 0 : -1;
    };
    const watch = new MutationObserver(() => single());
    watch.observe(list, { childList: true, subtree: true });
    single();

    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      const all = rows();
      const current = all.findIndex((row) => row === event.target);
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      const target =
        step !== undefined
          ? all[Math.max(0, Math.min(all.length - 1, current + step))]
          : event.key === "Home"
            ? all[0]
            : event.key === "End"
              ? all.at(-1)
              : undefined;
      if (target) {
        event.preventDefault();
        single(target);
        target.focus();
        return;
      }
      const letter = letters[event.key.toLowerCase()];
      const row = all[current];
      if (letter && row) {
        event.preventDefault();
        letter(row);
      }
    };
    const onFocus = (event: FocusEvent) => {
      const row = (event.target as HTMLElement).closest<HTMLElement>("[data-row]");
      if (row) single(row);
    };
    list.addEventListener("keydown", onKey);
    list.addEventListener("focusin", onFocus);
    return () => {
      watch.disconnect();
      list.removeEventListener("keydown", onKey);
      list.removeEventListener("focusin", onFocus);
    };
  };
}
