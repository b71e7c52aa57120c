/** What the palette can find and run, made from what is known now. */
import type { IconName } from "../parts/shapes";
import type { MarkName } from "../parts/marks";
import * as actions from "../state/actions";
import { navigation, screens } from "../state/navigation.svelte";
import { destinations, journal, policy, sandbox, staged, workloads } from "../state/store.svelte";
import { count, plural } from "../words/format";
import { railIcon, screenTitle } from "../words/frame";

export interface Command {
  id: string;
  group: "Screens" | "Destinations" | "Rules" | "Workloads" | "Commands";
  title: string;
  detail: string;
  icon: IconName | null;
  mark: MarkName | null;
  key: string;
  /** Why it cannot be run now; it stays in the list so that one learns it. */
  impossible: string | null;
  run: () => unknown;
}

const command = (
  id: string,
  title: string,
  detail: string,
  icon: IconName,
  run: () => unknown,
  key = "",
  impossible: string | null = null,
): Command => ({ id, group: "Commands", title, detail, icon, mark: null, key, impossible, run });

export function allCommands(): Command[] {
  const running = sandbox.value?.state === "running";
  const edits = staged.value?.length ?? 0;
  const nothingStaged = edits === 0 ? "nothing is staged" : null;
  const undoable = actions.newestUndoable(staged.value ?? [], journal.value ?? []);
  return [
    ...(destinations.value ?? []).map((row): Command => ({
      id: `destination ${row.name}:${row.port} ${row.verdict}`,
      group: "Destinations",
      title: `${row.name}:${row.port}`,
      detail: `${plural(row.workloads.length, "workload")}, ${plural(row.requests, "request")}`,
      icon: null,
      mark: row.verdict,
      key: "",
      impossible: null,
      run: () => {
        navigation.destinationFilter = row.name;
        navigation.go("destinations");
      },
    })),
    ...(policy.value?.services ?? []).map((row): Command => ({
      id: `service ${row.object.namespace}/${row.object.name}`,
      group: "Rules",
      title: `ServiceEntry ${row.object.namespace}/${row.object.name}`,
      detail: `${row.hosts.join(", ")} · ${row.ports.map((port) => `${port.number} ${port.protocol}`).join(", ")}`,
      icon: "globe",
      mark: null,
      key: "",
      impossible: null,
      run: () => navigation.openDraft({ kind: "ServiceEntry", object: row.object, flowId: null }),
    })),
    ...(workloads.value ?? []).map((row): Command => ({
      id: `workload ${row.kind} ${row.name}`,
      group: "Workloads",
      title: `Run as ${row.name}`,
      detail: `${row.kind}, behind the sidecar on this computer`,
      icon: "flask-conical",
      mark: null,
      key: "",
      impossible: null,
      run: () => navigation.runAs(row.name),
    })),
    ...screens.map((screen, index): Command => ({
      id: `screen ${screen}`,
      group: "Screens",
      title: screenTitle[screen],
      detail: "",
      icon: railIcon[screen] ?? "box",
      mark: null,
      key: `Ctrl ${index + 1}`,
      impossible: null,
      run: () => navigation.go(screen),
    })),
    command("checks", "Checks", "lint findings and unreadable files", "list-checks", () => navigation.go("checks")),
    command(
      "log",
      "Open a log window",
      `${count(destinations.value?.length ?? 0)} destinations so far`,
      "scroll-text",
      actions.openLog,
      "Ctrl L",
    ),
    command("rehearse", "Rehearse switching to REGISTRY_ONLY", "on the recorded flows", "history", () => {
      navigation.rehearse = "registryOnly";
      navigation.go("rehearse");
    }),
    command("mode", "Change the outbound mode", "mesh, namespace or workload", "shield", () =>
      navigation.openTab("mode"),
    ),
    command("ranges", "Edit bypass ranges", "what never reaches the sidecar", "route-off", () =>
      navigation.openTab("bypass"),
    ),
    command("gateways", "See egress gateways", "what leaves by a gateway", "arrow-up-right", () =>
      navigation.openTab("gateways"),
    ),
    command("new-service", "New service", "a ServiceEntry", "plus", () =>
      navigation.openDraft({ kind: "ServiceEntry", object: null, flowId: null }),
    ),
    command("new-timeout", "New timeout", "a VirtualService", "timer", () =>
      navigation.openDraft({ kind: "VirtualService", object: null, flowId: null }),
    ),
    command(
      "review",
      "Review the change set",
      plural(edits, "edit"),
      "layers",
      () => navigation.go("review"),
      "Ctrl ⇧ ⏎",
      nothingStaged,
    ),
    command(
      "discard",
      "Discard the change set",
      plural(edits, "edit"),
      "trash-2",
      actions.discardAll,
      "",
      nothingStaged,
    ),
    command(
      "undo",
      "Undo the newest action",
      "",
      "undo-2",
      actions.undoNewest,
      "Ctrl Z",
      undoable ? null : "nothing to undo",
    ),
    running
      ? command("stop", "Stop the sandbox", sandbox.value?.workload ?? "", "square", actions.stopSandbox)
      : command("start", "Start the sandbox", sandbox.value?.workload ?? "", "play", () => {
          navigation.go("sandbox");
          return actions.startSandbox(sandbox.value?.workload ?? "");
        }),
    command("folder", "Open a folder…", "another source of policy", "folder-open", () => actions.pickFolder("this")),
    command(
      "new-window",
      "Open in a new window…",
      "another cluster or folder beside this one",
      "app-window",
      () => navigation.openSourceMenu("new"),
      "Ctrl ⇧ N",
    ),
    command("keys", "Keys", "what the keyboard can do", "keyboard", () => (navigation.layer = "keys"), "?"),
  ];
}

/** Every word typed must occur; titles that start with the text come first. */
export function search(commands: Command[], text: string): Command[] {
  const wanted = text.trim().toLowerCase();
  const tokens = wanted.split(/\s+/).filter(Boolean);
  const hits = commands.filter((each) => {
    const hay = `${each.title} ${each.detail}`.toLowerCase();
    return tokens.every((token) => hay.includes(token));
  });
  if (wanted === "") return hits.filter((each) => each.group === "Screens" || each.group === "Commands");
  const rank = (each: Command) => (each.title.toLowerCase().startsWith(wanted) ? 0 : 1);
  const order = ["Destinations", "Rules", "Workloads", "Screens", "Commands"];
  return hits.sort((a, b) => order.indexOf(a.group) - order.indexOf(b.group) || rank(a) - rank(b));
}
