/** The filter bar of lists: `key:value` tokens and free text. One grammar for Destinations and the log. */
import type { Flow, LogQuery, Verdict } from "../bridge/bindings";
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

export function add(input: string, keys: readonly string[], token: Token): string {
  const filter = parse(input, keys);
  return print(parse(print({ ...filter, tokens: [...filter.tokens, token] }), keys));
}

/** Adds a token, or takes it away when it is there already. */
export function toggle(input: string, keys: readonly string[], token: Token): string {
  const filter = parse(input, keys);
  const rest = filter.tokens.filter((each) => each.key !== token.key || each.value !== token.value);
  return print({ ...filter, tokens: rest.length < filter.tokens.length ? rest : [...filter.tokens, token] });
}

export const logKeys = ["verdict", "workload", "host", "status", "flags"] as const;

/** The filter that shows what the app counts as similar to a flow. */
export const likeIt = ({ verdict, workload, name, port }: Flow) =>
  `verdict:${verdict} workload:${workload} host:${name} port:${port}`;

/**
 * Values that stand for themselves are asked for as a list, of which the facets still count the other values. Parts of
 * names, classes and comparisons the app reads in the text, and of a key with one of them all values: there any holds.
 */
const isWhole: Record<(typeof logKeys)[number], (value: string) => boolean> = {
  verdict: (value) => verdictOrder.includes(value as Verdict),
  workload: (value) => value.includes("/"),
  // `*.example.com` is any of many, as in a policy.
  host: (value) => /[.:]/.test(value) && !value.includes("*"),
  status: (value) => /^\d+$/.test(value),
  flags: () => true,
};

export function logQuery(input: string): LogQuery {
  const { tokens, text } = parse(input, logKeys);
  const of = (key: string) => tokens.filter((token) => token.key === key).map((token) => token.value);
  const inText = logKeys.filter((key) => !of(key).every(isWhole[key]));
  const listed = (key: (typeof logKeys)[number]) => (inText.includes(key) ? [] : of(key));
  const written = tokens.filter(({ key }) => inText.some((each) => each === key));
  return {
    text: print({ tokens: written, text }),
    verdicts: listed("verdict") as Verdict[],
    workloads: listed("workload"),
    hosts: listed("host"),
    statuses: listed("status").map(Number),
    flags: listed("flags"),
  };
}
