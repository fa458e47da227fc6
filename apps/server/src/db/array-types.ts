/**
 * Arrays as PostgreSQL writes them, one level deep, for the types our statements pass to `unnest` and read back.
 *
 * postgres.js can learn the array types from the database at each connect, but a connection that breaks during that
 * query rejects a promise nobody holds, which ends the process. So they are listed here instead.
 */
type Codec = { readonly parse: (text: string) => unknown; readonly serialize: (value: unknown) => string };
type ArrayType = {
  readonly to: number;
  readonly from: number[];
  readonly parse: (text: string) => unknown[];
  readonly serialize: (values: unknown) => string;
};

const asText: Codec = { parse: (text) => text, serialize: String };
const asNumber: Codec = { parse: Number, serialize: String };

/** Oids of the array types, from PostgreSQL's catalog, where they never change. */
export const ARRAY_OID = { boolean: 1000, bytea: 1001, bigint: 1016, timestamptz: 1185 } as const;

/** The array types by name, given how their elements that are not plain text or small numbers are written. */
export function arrayTypes(elements: {
  readonly bigint: Codec;
  readonly boolean: Codec;
  readonly bytea: Codec;
  readonly json: Codec;
  readonly timestamptz: Codec;
}): Readonly<Record<string, ArrayType>> {
  return {
    booleans: arrayType([ARRAY_OID.boolean], elements.boolean),
    byteas: arrayType([ARRAY_OID.bytea], elements.bytea),
    smallNumbers: arrayType([1005, 1007, 1021, 1022], asNumber),
    bigints: arrayType([ARRAY_OID.bigint], elements.bigint),
    texts: arrayType([1009, 1015, 1231, 2951], asText),
    timestamptzs: arrayType([ARRAY_OID.timestamptz], elements.timestamptz),
    jsons: arrayType([199, 3807], elements.json),
  };
}

function arrayType(oids: readonly [number, ...number[]], element: Codec): ArrayType {
  return {
    to: oids[0],
    from: [...oids],
    parse: (text) => {
      const items = parseArray(text);
      return element === asText ? items : items.map((item) => (item === null ? null : element.parse(item)));
    },
    // PostgreSQL refuses what is no array, with a message that shows it.
    serialize: (values) => (Array.isArray(values) ? formatArray(values, element) : String(values)),
  };
}

/** Text in which nothing has a meaning of its own: numbers and hex digits, of which no NULL can be made. */
const PLAIN = /^[0-9a-f.+-]+$/;

function formatArray(values: readonly unknown[], element: Codec): string {
  return `{${values.map((value) => formatItem(value, element)).join(",")}}`;
}

function formatItem(value: unknown, element: Codec): string {
  if (value === undefined) throw new TypeError("An array given to a statement has an undefined element.");
  if (value === null) return "null";
  const text = element.serialize(value);
  return PLAIN.test(text) ? text : `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

/** One item: quoted, with `\` before each quote and backslash, or bare. A bare NULL is no text. */
const ITEM = /"((?:[^"\\]|\\.)*)"|([^,{}]+)/gs;

function parseArray(text: string): (string | null)[] {
  if (text === "{}") return [];
  if (!text.includes('"')) return text.slice(1, -1).split(",").map(nullOrText);
  return Array.from(text.matchAll(ITEM), ([, quoted, bare]) => {
    return quoted === undefined ? nullOrText(bare ?? "NULL") : quoted.replaceAll(/\\(.)/gs, "$1");
  });
}

function nullOrText(bare: string): string | null {
  return bare === "NULL" ? null : bare;
}
