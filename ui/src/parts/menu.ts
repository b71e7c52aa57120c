/**
 * A menu below its button, both in one element: focus goes into it when it opens and back to the button when it closes,
 * and a click anywhere else closes it.
 */
import { tick } from "svelte";
import type { Attachment } from "svelte/attachments";

export function menu(close: () => void): Attachment<HTMLElement> {
  return (panel) => {
    const around = panel.parentElement;
    const button = around?.querySelector<HTMLElement>("[aria-expanded]");
    panel.querySelector<HTMLElement>("input, select, button:not([disabled]), a[href]")?.focus();
    const elsewhere = ({ target }: PointerEvent) => {
      if (target instanceof Node && !around?.contains(target)) close();
    };
    document.addEventListener("pointerdown", elsewhere);
    return () => {
      document.removeEventListener("pointerdown", elsewhere);
      // What took the focus meanwhile keeps it.
      void tick().then(() => {
        if (document.activeElement === document.body) button?.focus();
      });
    };
  };
}
