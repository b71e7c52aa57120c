/** Colours for lines of YAML that are shown, not edited: key, number, comment. Works line by line on purpose. */
export interface Span {
  text: string;
  kind: "" | "yk" | "yn" | "yc";
}

const line = /^(\s*(?:- )?)([\w./"-]+)(:)(?=\s|$)(.*)$/;

export function spans(text: string): Span[] {
  const [code, comment] = splitComment(text);
  const found: Span[] = [];
  const match = line.exec(code);
  if (match) {
    const [, indent = "", key = "", colon = "", rest = ""] = match;
    found.push({ text: indent, kind: "" }, { text: key, kind: "yk" }, { text: colon, kind: "" });
    found.push({ text: rest, kind: /^\s+[\d.]+m?s?\s*$/.test(rest) ? "yn" : "" });
  } else {
    found.push({ text: code, kind: "" });
  }
  if (comment) found.push({ text: comment, kind: "yc" });
  return found.filter((span) => span.text !== "");
}

function splitComment(text: string): [string, string] {
  const at = /(^|\s)#/.exec(text);
  if (!at || /["'][^"']*#/.test(text)) return [text, ""];
  return [text.slice(0, at.index), text.slice(at.index)];
}
