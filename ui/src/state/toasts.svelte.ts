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
/** Shown at once, with one notice more where failures take all the room; failures beyond are counted. */
const most = 3;

const isFailure = ({ fault }: Toast) => fault !== null;

class Toasts {
  /** All that there are; a failure stays until it is dismissed, since it tells the person what to do. */
  list = $state<Toast[]>([]);
  /** The failures that there is no room for, where a person has not asked for them: the oldest. */
  readonly unshown = $derived.by(() => {
    const failures = this.list.filter(isFailure);
    return this.#open ? [] : failures.slice(0, Math.max(0, failures.length - most));
  });
  readonly shown = $derived(this.list.filter((toast) => !this.unshown.includes(toast)));
  #open = $state(false);
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
    if (this.list.filter(isFailure).length <= most) this.#open = false;
  }

  /** Shows all failures. */
  open(): void {
    this.#open = true;
  }

  /** Takes notices away, not failures. */
  quiet(): void {
    this.list = this.list.filter(isFailure);
  }

  /** Notices make room, failures do not. */
  #withRoom(): Toast[] {
    const kept = [...this.list];
    while (kept.length >= most) {
      const notice = kept.findIndex(({ fault }) => fault === null);
      if (notice < 0) break;
      kept.splice(notice, 1);
    }
    return kept;
  }

  #add(toast: Omit<Toast, "id">): void {
    const id = this.#next++;
    this.list = [...this.#withRoom(), { ...toast, id }];
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
