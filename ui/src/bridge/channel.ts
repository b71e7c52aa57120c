/**
 * The one way out of the web page: calls and events of the desktop app.
 * Inside the app they go to Rust; in a plain browser (and in component tests) a stand-in with fixed example data
 * answers instead. The stand-in is a separate chunk and is never loaded inside the app.
 */
import type { Fault } from "./bindings";

export type Unlisten = () => void;

export interface Channel {
  call<T>(command: string, args?: Record<string, unknown>): Promise<T>;
  listen<T>(event: string, handler: (payload: T) => void): Promise<Unlisten>;
}

let channel: Promise<Channel> | null = null;

export function insideApp(): boolean {
  return "__TAURI_INTERNALS__" in window;
}

async function connect(): Promise<Channel> {
  if (!insideApp()) return (await import("./standin")).standin();
  const [{ invoke }, { getCurrentWebviewWindow }] = await Promise.all([
    import("@tauri-apps/api/core"),
    import("@tauri-apps/api/webviewWindow"),
  ]);
  // Who listens for any target hears the events of all windows, and each has a source of its own.
  const own = getCurrentWebviewWindow();
  return {
    call: (command, args) => invoke(command, args),
    listen: (event, handler) => own.listen(event, (message) => handler(message.payload as never)),
  };
}

/** Puts another channel in place; component tests start each case with a fresh one. */
export function useChannel(next: Channel): void {
  channel = Promise.resolve(next);
}

export async function call<T>(command: string, args?: Record<string, unknown>): Promise<T> {
  channel ??= connect();
  try {
    return await (await channel).call<T>(command, args);
  } catch (error) {
    throw asFault(error);
  }
}

export async function listen<T>(event: string, handler: (payload: T) => void): Promise<Unlisten> {
  channel ??= connect();
  return (await channel).listen(event, handler);
}

/** Every failure a screen sees is a Fault, whatever threw it. */
export function asFault(error: unknown): Fault {
  if (typeof error === "object" && error !== null && "code" in error && "message" in error) return error as Fault;
  const message = error instanceof Error ? error.message : String(error);
  return { code: "call", message, hint: null, at: null };
}
