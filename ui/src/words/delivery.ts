/** Words of the sidecar's image on its way to the nodes. */
import type { DeliveryState } from "../bridge/bindings";
import { bytes } from "./format";

export const openLabel = "Deliver…";
export const waysLabel = "Way to the nodes";
export const startLabel = "Deliver";
export const cancelLabel = "Cancel";
export const referenceLabel = "Name in the registry";
export const nameIt = "Name the registry, the repository and a tag, such as registry.example.com/team/egret-proxy:1.";
export const byHand = "By hand:";

/** What is being done, and how far it is where that is known. */
export const progress = ({ text, sent, total }: DeliveryState) => {
  const far = total ? `: ${bytes(sent)} of ${bytes(total)}` : "";
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${far}`;
};
/** Where it is now. */
export const done = ({ way, image }: DeliveryState) =>
  way === "registry" ? `It is in the registry, as ${image}, which is the image now.` : `The nodes have ${image}.`;
