import { DispatcherError } from "@dispatcher/core";
import { AssetImportInput } from "../wire/asset.ts";
import { EntryFault } from "./entry.ts";
import type { CatalogDataset } from "./entry.ts";
import { webUrl } from "./locate.ts";
import { quote } from "./quote.ts";
import type { Source } from "./source.ts";

/** The bounds of the wire shape. */
const KEY_LENGTH_MAX = 100;
const TITLE_LENGTH_MAX = 100;

const KeyShape = AssetImportInput.shape.dataset.shape.key;

/** What the catalog says of itself outside its list: `name`, `title`, `homepage`, `sources`. */
export type Facts = ReadonlyMap<string, unknown>;

/**
 * Name the dataset: as asked, or as the package names itself, or after the file.
 * @throws DispatcherError INPUT_INVALID for a key that is none, and when no name can be made
 */
export function datasetOf(facts: Facts, source: Source, askedKey: string | undefined): CatalogDataset {
  return {
    key: keyOf(facts, source, askedKey),
    title: titleOf(facts.get("title")),
    sourceUrl: sourceUrlOf(facts, source),
  };
}

function keyOf(facts: Facts, source: Source, askedKey: string | undefined): string {
  if (askedKey !== undefined) {
    const parsed = KeyShape.safeParse(askedKey);
    if (parsed.success) return parsed.data;
    const why = parsed.error.issues.map(({ message }) => message).join("; ");
    throw new DispatcherError("INPUT_INVALID", `The dataset key ${quote(askedKey)} cannot be used: ${why}.`);
  }
  const name = facts.get("name");
  const key = (typeof name === "string" ? slug(name) : "") || slug(source.stem);
  if (key === "") {
    throw new DispatcherError(
      "INPUT_INVALID",
      `${source.label} names no dataset, and neither does its file name: pass --dataset.`,
    );
  }
  return key;
}

function slug(text: string): string {
  const joined = text.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return joined.slice(0, KEY_LENGTH_MAX).replace(/-+$/, "");
}

function titleOf(title: unknown): string | null {
  if (typeof title !== "string") return null;
  const line = title
    .toWellFormed()
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  if (line === "") return null;
  return line.length <= TITLE_LENGTH_MAX ? line : `${line.slice(0, TITLE_LENGTH_MAX - 1).toWellFormed()}…`;
}

/** The page about the dataset: its homepage, its first source, or the catalog itself; what is no web address is passed over. */
function sourceUrlOf(facts: Facts, source: Source): string | null {
  const sources = facts.get("sources");
  const paths: unknown[] = Array.isArray(sources) ? sources.map((one: unknown) => Object(one).path) : [];
  for (const candidate of [facts.get("homepage"), ...paths, source.askedUrl]) {
    if (typeof candidate !== "string") continue;
    try {
      return webUrl(candidate).href;
    } catch (error) {
      if (!(error instanceof EntryFault)) throw error;
    }
  }
  return null;
}
