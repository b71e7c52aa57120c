/** Places IPv4 ranges on a line, for drawing only. What is captured in fact is decided by the engine. */
export interface Span {
  text: string;
  from: number;
  to: number;
}

const whole = 2 ** 32;

/** The part of the IPv4 space a CIDR range covers, as fractions of it; null for what is not an IPv4 range. */
export function span(cidr: string): Span | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr.trim());
  if (!match) return null;
  const numbers = match.slice(1).map(Number);
  const prefix = numbers.pop() ?? 33;
  if (prefix > 32 || numbers.some((byte) => byte > 255)) return null;
  const size = 2 ** (32 - prefix);
  const address = numbers.reduce((sum, byte) => sum * 256 + byte, 0);
  const start = Math.floor(address / size) * size;
  return { text: cidr.trim(), from: start / whole, to: (start + size) / whole };
}

/** How much of the IPv4 space spans cover together. */
export function covered(spans: Span[]): number {
  let sum = 0;
  let end = 0;
  for (const each of spans.toSorted((a, b) => a.from - b.from)) {
    sum += Math.max(0, each.to - Math.max(each.from, end));
    end = Math.max(end, each.to);
  }
  return sum;
}

/** The parts of spans that lie between two points. */
export function clip(spans: Span[], from: number, to: number): Span[] {
  return spans
    .filter((each) => each.from < to && each.to > from)
    .map((each) => ({ ...each, from: Math.max(each.from, from), to: Math.min(each.to, to) }));
}
