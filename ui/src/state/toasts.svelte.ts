/** Short notices. A toast is never the only record: what it says can be read again in Changes, the list or the form. */
import type { Fault } from "../bridge/bindings";
import { asFault } from "../bridge/channel";

export interface Toast {
  id: number;
  text: string;
  fault: Fault | null;
  action: { label: string; run: () => void } | null;
}

const lifetime = 6000;

class Toasts {
  list = $state<Toast[]>([]);
  #next = 1;

  say(text: string, action: Toast["action"] = null): void {
    this.#add({ text, fault: null, action });
  }

  fail(error: unknown): void {
    const fault = asFault(error);
    this.#add({ text: fault.message, fault, action: null });
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  /** Takes notices away, not failures. */
  quiet(): void {
    this.list = this.list.filter((toast) => toast.fault !== null);
  }

  #add(toast: Omit<Toast, "id">): void {
    const id = this.#next++;
    this.list = [...this.list.slice(-2), { ...toast, id }];
    // A failure stays until it is dismissed: it tells the person what to do.
    if (toast.fault === null) setTimeout(() => this.dismiss(id), lifetime);
  }
}

export const toasts = new Toasts();

/** Runs an action of the person and shows its failure; resolves to null then. */
export async function attempt<T>(action: () => Promise<T>): Promise<T | null> {
  try {
    return await action();
  } catch (error) {
    toasts.fail(error);
    return null;
  }
}
