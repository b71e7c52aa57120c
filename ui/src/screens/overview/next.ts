/** Does what the app recommends as the next step. */
import type { NextStep } from "../../bridge/bindings";
import * as actions from "../../state/actions";
import { navigation } from "../../state/navigation.svelte";
import { sandbox } from "../../state/store.svelte";

export function takeNextStep(step: NextStep): void {
  switch (step.action) {
    case "startSandbox":
      navigation.go("sandbox");
      void actions.startSandbox(step.argument ?? sandbox.value?.workload ?? "");
      break;
    case "openLog":
      void actions.openLog();
      break;
    case "allow":
      navigation.destinationFilter = step.argument ?? "verdict:passthrough";
      navigation.go("destinations");
      break;
    case "switchMode":
      navigation.rehearse = "registryOnly";
      navigation.go("rehearse");
      break;
    case "review":
      navigation.go("review");
      break;
    case "fixFile":
      navigation.go("checks");
      break;
    case "undo":
      void actions.undoNewest();
      break;
  }
}
