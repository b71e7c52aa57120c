/** Words of Rehearse. */
export const proposals = {
  registryOnly: "REGISTRY_ONLY for the mesh, with the change set",
  staged: "the change set alone",
};
export const nothingStaged = "The change set is empty, so there is nothing to rehearse.";
export const nothingStagedText = "Stage an edit in Policy, or ask what REGISTRY_ONLY would have done.";
export const nothingWritten = "Nothing is written from here.";
export const limits = [
  "What was not recorded cannot be rehearsed: a job that did not run is not in the list.",
  "Each flow is decided again by the same engine that the sidecar enforces with.",
  "Flows from before the policy last changed were decided by the rules of their time; the column “Was” is what happened.",
];
export const added = (name: string) => `Added to the change set: ${name}. The rehearsal runs again.`;
