/** For component tests: the stand-in, with what was called written down and answers of the test's own in front of it. */
import { useChannel, type Channel } from "./channel";
import type { Events } from "./events";
import { standin } from "./standin";

export type Answer = (args: Record<string, unknown>) => unknown;

export interface Recording {
  /** Commands and their arguments, the first one first. */
  calls: [string, Record<string, unknown>][];
  /** Answers of the test's own, by command; what one throws is the command's fault. */
  answers: Record<string, Answer>;
  /** The stand-in, for an answer that changes the one it gives. */
  base: Channel;
  /** The arguments of each call of the command. */
  asked: (command: string) => Record<string, unknown>[];
  /** Sends an event to who listens. */
  tell: <Name extends keyof Events>(event: Name, payload: Events[Name]) => void;
}

export function record(options: { empty?: boolean } = {}): Recording {
  const base = standin({ empty: options.empty ?? false });
  const calls: Recording["calls"] = [];
  const answers: Recording["answers"] = {};
  const heard = new Map<string, Set<(payload: never) => void>>();
  useChannel({
    call: async <T>(command: string, args: Record<string, unknown> = {}) => {
      calls.push([command, args]);
      const own = answers[command];
      return own ? ((await own(args)) as T) : base.call<T>(command, args);
    },
    listen: async (event, handler) => {
      const handlers = heard.get(event) ?? new Set();
      heard.set(event, handlers.add(handler as (payload: never) => void));
      const stop = await base.listen(event, handler);
      return () => {
        handlers.delete(handler as (payload: never) => void);
        stop();
      };
    },
  });
  return {
    calls,
    answers,
    base,
    asked: (command) => calls.filter(([name]) => name === command).map(([, args]) => args),
    tell: (event, payload) => heard.get(event)?.forEach((handle) => handle(payload as never)),
  };
}
