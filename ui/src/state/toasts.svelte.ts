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
/** Shown at once; failures that stay may make it more. */
const most = 3;

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

  /** Notices make room first, and a failure only for another one. */
  #roomFor(toast: Omit<Toast, "id">): Toast[] {
    const kept = [...this.list];
    while (kept.length >= most) {
      const notice = kept.findIndex(({ fault }) => fault === null);
      if (notice < 0 && toast.fault === null) break;
      kept.splice(Math.max(notice, 0), 1);
    }
    return kept;
  }

  #add(toast: Omit<Toast, "id">): void {
    const id = this.#next++;
    this.list = [...this.#roomFor(toast), { ...toast, id }];
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
