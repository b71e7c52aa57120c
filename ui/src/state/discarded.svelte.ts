/** The edits that "Discard" took away last: they can be staged again until the place is left. */
import type { StagedEdit } from "../bridge/bindings";

class Discarded {
  edits = $state.raw<StagedEdit[]>([]);
  at = $state("");

  take(edits: StagedEdit[]): void {
    this.edits = edits;
    this.at = new Date().toISOString();
  }

  forget(): void {
    this.edits = [];
  }
}

export const discarded = new Discarded();
