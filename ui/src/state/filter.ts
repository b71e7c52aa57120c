/** The filter bar of lists: `key:value` tokens and free text. One grammar for Destinations and the log. */
import type { LogQuery, Verdict } from "../bridge/bindings";
import { verdictOrder } from "../words/verdicts";

export interface Token {
  key: string;
  value: string;
}

export interface Filter {
  tokens: Token[];
  text: string;
}

export function parse(input: string, keys: readonly string[]): Filter {
  const tokens: Token[] = [];
  const words: string[] = [];
  for (const word of input.trim().split(/\s+/).filter(Boolean)) {
    const at = word.indexOf(":");
    const key = word.slice(0, at);
    if (at <= 0 || !keys.includes(key) || word.length === at + 1) words.push(word);
    // Said twice it is the same filter.
    else if (!tokens.some((token) => `${token.key}:${token.value}` === word))
      tokens.push({ key, value: word.slice(at + 1) });
  }
  return { tokens, text: words.join(" ") };
}

export const print = (filter: Filter) =>
  [...filter.tokens.map((token) => `${token.key}:${token.value}`), filter.text].filter(Boolean).join(" ");

/** Adds a token, or takes it away when it is there already. */
export function toggle(input: string, keys: readonly string[], token: Token): string {
  const filter = parse(input, keys);
  const rest = filter.tokens.filter((each) => each.key !== token.key || each.value !== token.value);
  return print({ ...filter, tokens: rest.length < filter.tokens.length ? rest : [...filter.tokens, token] });
}

export const logKeys = ["verdict", "workload", "host", "status", "flags"] as const;

export function logQuery(input: string): LogQuery {
  const { tokens, text } = parse(input, logKeys);
  const of = (key: string) => tokens.filter((token) => token.key === key).map((token) => token.value);
  return {
    text,
    verdicts: of("verdict").filter((value): value is Verdict => verdictOrder.includes(value as Verdict)),
    workloads: of("workload"),
    hosts: of("host"),
    statuses: of("status")
      .map(Number)
      .filter((status) => Number.isInteger(status)),
    flags: of("flags"),
  };
}
