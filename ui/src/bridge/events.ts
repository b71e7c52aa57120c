/** The events the app sends, with their payloads. */
import type {
  CommandEvent,
  Connecting,
  DeliveryState,
  DeployState,
  ProbeStep,
  SandboxState,
  SourceState,
  StagedEdit,
} from "./bindings";
import { listen, type Unlisten } from "./channel";

export interface Events {
  "source-changed": SourceState;
  "staged-changed": StagedEdit[];
  "sandbox-changed": SandboxState;
  "flows-added": { lastId: number; added: number; dropped: number };
  "journal-changed": null;
  "connecting-changed": Connecting | null;
  "pods-changed": null;
  "sync-changed": null;
  "logs-changed": null;
  "command-output": CommandEvent;
  "probe-changed": ProbeStep;
  "deploy-changed": DeployState;
  "delivery-changed": DeliveryState;
  "open-draft": { flowId: number };
  go: { screen: string };
}

export function on<Name extends keyof Events>(name: Name, handler: (payload: Events[Name]) => void): Promise<Unlisten> {
  return listen(name, handler);
}
