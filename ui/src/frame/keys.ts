/** Keys of the main window. Single letters are off while something is being typed. */
import { openLog, undoNewest } from "../state/actions";
import { navigation, screens } from "../state/navigation.svelte";

export function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.matches("input:not([type=radio]):not([type=checkbox]), textarea, select") || target.isContentEditable)
  );
}

/** Moves the focus to the next pane: everything marked with data-pane, in document order. */
function nextPane(back: boolean): void {
  const panes = [...document.querySelectorAll<HTMLElement>("[data-pane]")];
  const current = panes.findIndex((pane) => pane.contains(document.activeElement));
  const next = panes[(current + (back ? -1 : 1) + panes.length) % panes.length];
  const first = next?.querySelector<HTMLElement>("[tabindex='0'], button:not([disabled]), input, select, a[href]");
  first?.focus();
}

/** The row that is the tab stop of the first list on the screen. */
function firstRow(): void {
  document.querySelector<HTMLElement>("[data-row][tabindex='0']")?.focus();
}

export function findInList(): void {
  document.querySelector<HTMLInputElement>("[data-find]")?.focus();
}

export function mainKeys(event: KeyboardEvent): void {
  const command = event.ctrlKey || event.metaKey;
  const act = (action: () => unknown) => {
    event.preventDefault();
    void action();
  };
  if (command && event.shiftKey && event.key === "Enter") return act(() => navigation.go("review"));
  if (command && event.shiftKey && event.key.toLowerCase() === "n") return act(() => navigation.openSourceMenu("new"));
  if (command && !event.shiftKey && !event.altKey) {
    const screen = screens[Number(event.key) - 1];
    if (screen) return act(() => navigation.go(screen));
    if (event.key === "k") return act(() => (navigation.layer = navigation.layer === "palette" ? null : "palette"));
    if (event.key === "l") return act(openLog);
    // Inside a text field Ctrl+Z belongs to the text.
    if (event.key === "z" && !typing(event.target)) return act(undoNewest);
    return;
  }
  if (event.key === "Escape") {
    if (event.defaultPrevented) return;
    if (typing(event.target) && navigation.layer === null) return (event.target as HTMLElement).blur();
    if (navigation.escape()) event.preventDefault();
    return;
  }
  if (event.key === "F6") return act(() => nextPane(event.shiftKey));
  if (typing(event.target)) return;
  const moves = ["j", "k", "ArrowDown", "ArrowUp"].includes(event.key);
  if (moves && document.activeElement === document.body) return act(firstRow);
  if (event.key === "?") return act(() => (navigation.layer = navigation.layer === "keys" ? null : "keys"));
  if (event.key === "/") return act(findInList);
}
