/** Longer values are cut: a message is one line that people read. */
const SHOWN_MAX = 120;

/**
 * A value from a catalog as a message shows it: in quotes, cut to a readable length, and with every control or format
 * character escaped, because a catalog comes from anywhere and messages end on terminals, which obey such characters.
 */
export function quote(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  const cut = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
  const quoted = typeof value === "string" ? JSON.stringify(cut) : cut;
  return quoted.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16) ?? ""}}`;
}
