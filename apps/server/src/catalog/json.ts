/**
 * A streaming reader of JSON catalogs, over the tokens of stream-json. Only what an entry needs is ever built: a table
 * schema or data within the catalog pass by token by token, so that memory does not grow with them.
 */
import { getManyValues, isMany } from "stream-chain/defs.js";
import { Assembler } from "stream-json/core/assembler.js";
import { jsonParser } from "stream-json/core/parser.js";
import type { Token } from "stream-json/core/parser.js";
import { jsonVerifier } from "stream-json/core/utils/verifier.js";
import { unreadable } from "./source.ts";

/** The arrays of a root object that hold entries. */
export const LIST_KEYS = ["resources", "assets"] as const;
export type ListKey = (typeof LIST_KEYS)[number];

/** What else of a root object is read: facts about the dataset. */
const FACT_KEYS: ReadonlySet<string> = new Set(["name", "title", "homepage", "sources"]);

/**
 * Text of one value, beyond which the catalog is refused: well above any real entry, well below what memory holds.
 * Smaller would refuse packages with some inline data; larger lets one string of a broken file fill the memory.
 */
const VALUE_LENGTH_MAX = 64 * 2 ** 20;

export type JsonPart =
  /** The root is an array (null), or the root object has this list. Told before the list's entries. */
  | { readonly kind: "list"; readonly key: ListKey | null }
  | { readonly kind: "fact"; readonly key: string; readonly value: unknown }
  /** `value` is an object of the fields asked for; what the others hold is read as null. Null if it is no object. */
  | { readonly kind: "entry"; readonly place: string; readonly value: Readonly<Record<string, unknown>> | null };

/**
 * The parts of a JSON catalog in the order of the text.
 * @throws DispatcherError CATALOG_UNREADABLE for what is not JSON, or neither an object nor an array; after the parts
 * that stand before the fault
 */
export async function* readJson(
  label: string,
  openText: () => AsyncIterable<string>,
  isField: (list: ListKey | null, name: string) => boolean,
): AsyncGenerator<JsonPart> {
  const parse = jsonParser({ streamValues: false });
  const walker = new JsonWalker(label, isField);
  let lengthHeld = 0;
  for await (const piece of openText()) {
    let tokens: readonly Token[];
    try {
      const result = parse(piece);
      tokens = isMany(result) ? getManyValues(result) : [];
    } catch (error) {
      const what = error instanceof Error ? error.message.replace(/^Parser (?:cannot parse input: |has )/, "") : "";
      throw unreadable(`${label} is not valid JSON${await placeOfFault(openText())}: ${what}.`, error);
    }
    let partCount = 0;
    for (const token of tokens) {
      const part = walker.take(token);
      if (part === null) continue;
      partCount += 1;
      yield part;
    }
    const isHeld = partCount === 0 && (tokens.length === 0 || walker.isHolding);
    lengthHeld = isHeld ? lengthHeld + piece.length : 0;
    if (lengthHeld > VALUE_LENGTH_MAX) throw unreadable(`${label} has a single value of more than 64 MiB.`);
  }
  // Text behind the end is a fault to the parser; text that stops short of it is not, and is one here.
  if (!walker.isAtEnd) throw unreadable(`${label} ends in the middle, so it is incomplete.`);
}

/** ` at line 3, column 7`. The parser is quick and does not count; this slower reading is for broken catalogs alone. */
async function placeOfFault(text: AsyncIterable<string>): Promise<string> {
  const verify = jsonVerifier();
  try {
    for await (const piece of text) verify(piece);
    return "";
  } catch (error) {
    if (!(error instanceof Error) || !("line" in error) || !("pos" in error)) return "";
    return ` at line ${String(error.line)}, column ${String(error.pos)}`;
  }
}

/** Turns tokens, which come in correct JSON order, into parts. */
class JsonWalker {
  readonly #label: string;
  readonly #isField: (list: ListKey | null, name: string) => boolean;
  readonly #assembler = new Assembler();
  #where: "start" | "object" | "list" | "end" = "start";
  /** The last key read in the root object. */
  #key = "";
  #list: ListKey | null = null;
  /** Entries begun in the present list. */
  #entryCount = 0;
  #building: "nothing" | "fact" | "entry" = "nothing";
  /** The next value belongs to a field nobody asked for. */
  #isPruned = false;
  /** Containers open in the value being passed over. */
  #skipDepth = 0;

  constructor(label: string, isField: (list: ListKey | null, name: string) => boolean) {
    this.#label = label;
    this.#isField = isField;
  }

  /** Something is being built, so what was read lately is in memory. */
  get isHolding(): boolean {
    return this.#building !== "nothing" && this.#skipDepth === 0;
  }

  /** The root value is complete. */
  get isAtEnd(): boolean {
    return this.#where === "end";
  }

  take(token: Token): JsonPart | null {
    if (this.#skipDepth > 0) {
      this.#skipDepth += depthStep(token);
      return null;
    }
    if (this.#building !== "nothing") return this.#build(token);
    if (this.#where === "start") return this.#takeRoot(token);
    return this.#where === "list" ? this.#takeElement(token) : this.#takeMember(token);
  }

  #takeRoot(token: Token): JsonPart | null {
    if (token.name === "startArray") return this.#openList(null);
    if (token.name !== "startObject") throw unreadable(`${this.#label} is a single JSON value, not a catalog.`);
    this.#where = "object";
    return null;
  }

  #takeMember(token: Token): JsonPart | null {
    if (token.name === "keyValue") {
      this.#key = token.value;
      return null;
    }
    if (token.name === "endObject") {
      this.#where = "end";
      return null;
    }
    const listKey = LIST_KEYS.find((key) => key === this.#key);
    if (listKey !== undefined) {
      if (token.name !== "startArray") throw unreadable(`"${listKey}" of ${this.#label} is not a list.`);
      return this.#openList(listKey);
    }
    if (!FACT_KEYS.has(this.#key)) return this.#skip(token);
    this.#building = "fact";
    return this.#build(token);
  }

  #openList(key: ListKey | null): JsonPart {
    this.#where = "list";
    this.#list = key;
    this.#entryCount = 0;
    return { kind: "list", key };
  }

  #takeElement(token: Token): JsonPart | null {
    if (token.name === "endArray") {
      this.#where = this.#list === null ? "end" : "object";
      return null;
    }
    this.#entryCount += 1;
    if (token.name !== "startObject") {
      this.#skip(token);
      return this.#entry(null);
    }
    this.#building = "entry";
    return this.#build(token);
  }

  #build(token: Token): JsonPart | null {
    if (this.#isPruned) {
      this.#isPruned = false;
      this.#assembler.consume({ name: "nullValue", value: null });
      return this.#skip(token);
    }
    if (token.name === "keyValue" && this.#building === "entry" && this.#assembler.depth === 1) {
      this.#isPruned = !this.#isField(this.#list, token.value);
    }
    this.#assembler.consume(token);
    if (!this.#assembler.done) return null;
    const isFact = this.#building === "fact";
    this.#building = "nothing";
    const value = this.#assembler.current;
    return isFact ? { kind: "fact", key: this.#key, value } : this.#entry(isObject(value) ? value : null);
  }

  #entry(value: Readonly<Record<string, unknown>> | null): JsonPart {
    return { kind: "entry", place: `${this.#list ?? ""}[${this.#entryCount - 1}]`, value };
  }

  /** Pass over the value that begins with this token. */
  #skip(token: Token): null {
    this.#skipDepth = Math.max(0, depthStep(token));
    return null;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function depthStep(token: Token): number {
  if (token.name === "startObject" || token.name === "startArray") return 1;
  return token.name === "endObject" || token.name === "endArray" ? -1 : 0;
}
