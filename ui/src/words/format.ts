/** Numbers, sizes, times and ages as the screens print them. Fixed to English so that the same number reads the same everywhere. */
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const count = (value: number) => grouped.format(value);

export const plural = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let scaled = value / 1000;
  let unit = 0;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${scaled < 100 ? scaled.toFixed(1) : scaled.toFixed(0)} ${units[unit]}`;
}

export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  return seconds < 60
    ? `${Number(seconds.toFixed(seconds < 10 ? 3 : 1))} s`
    : `${Number((seconds / 60).toFixed(1))} min`;
}

/** Time of day with milliseconds, in the person's own time zone. */
export function clock(moment: string | number, milliseconds = false): string {
  const time = new Date(moment);
  if (Number.isNaN(time.getTime())) return String(moment);
  const part = (value: number, width = 2) => String(value).padStart(width, "0");
  const base = `${part(time.getHours())}:${part(time.getMinutes())}:${part(time.getSeconds())}`;
  return milliseconds ? `${base}.${part(time.getMilliseconds(), 3)}` : base;
}

export function age(iso: string, now = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1000));
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 2) return "now";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export const place = (at: { file: string; line: number; column?: number }) =>
  at.column === undefined ? `${at.file}:${at.line}` : `${at.file}:${at.line}:${at.column}`;
