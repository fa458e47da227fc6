import { unreadable } from "./source.ts";
import { LIST_KEYS } from "./json.ts";
import { listFieldOf } from "./list-entry.ts";

/** What a user may call a catalog; `auto` looks at its first bytes, since names and media types often mislead. */
export type CatalogFormat = "auto" | "frictionless" | "json" | "csv";

/** How the text is cut into entries: one JSON value, JSON line by line, or CSV. */
export type TextKind = "json" | "lines" | "csv";

/**
 * Tell the kind from the beginning of the text.
 * @throws DispatcherError CATALOG_UNREADABLE for nothing, for a web page, and for what is not the format asked for
 */
export function kindOfText(label: string, head: string, asked: CatalogFormat): TextKind {
  const text = head.trimStart();
  if (text === "") throw unreadable(`${label} is empty.`);
  if (text.startsWith("<")) throw unreadable(`${label} is a web page or another XML document, not a catalog.`);
  const isJson = text.startsWith("{") || text.startsWith("[");
  if (asked === "csv" || (asked === "auto" && !isJson)) return "csv";
  if (!isJson) throw unreadable(`${label} begins with neither { nor [, so it is not JSON.`);
  return asked !== "frictionless" && startsWithEntryLine(text) ? "lines" : "json";
}

/** The first line is a whole object that says where a file is, and no catalog of its own. */
function startsWithEntryLine(text: string): boolean {
  const line = text.split("\n", 1)[0] ?? "";
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null || LIST_KEYS.some((key) => key in value)) return false;
    return Object.keys(value).some((name) => ["url", "path"].includes(listFieldOf(name) ?? ""));
  } catch {
    return false;
  }
}
