/** Arbitrary values that fit a JSON Schema, and such that nearly do. */
import * as fc from "fast-check";
import type { Schema } from "./openapi-client.ts";

/** A value that fits; what the schema does not say, it may break. */
export function arbitraryOf(schema: Schema): fc.Arbitrary<unknown> {
  const { const: only, enum: values, anyOf, oneOf, allOf, type } = schema;
  if (only !== undefined) return fc.constant(only);
  if (Array.isArray(values)) return fc.constantFrom(...(values as unknown[]));
  const options = (anyOf ?? oneOf) as readonly Schema[] | undefined;
  if (options !== undefined) return fc.oneof(...options.map(arbitraryOf));
  if (Array.isArray(allOf)) return arbitraryOf((allOf as Schema[])[0] ?? {});
  switch (type) {
    case "object":
      return objectOf(schema);
    case "array": {
      const { minItems = 0, maxItems = 3 } = schema as { minItems?: number; maxItems?: number };
      const most = Math.max(minItems, Math.min(maxItems, 3));
      return fc.array(arbitraryOf((schema["items"] ?? {}) as Schema), { minLength: minItems, maxLength: most });
    }
    case "string":
      return textOf(schema);
    case "integer":
    case "number":
      return numberOf(schema, type);
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function objectOf({ properties = {}, required = [], additionalProperties }: Schema): fc.Arbitrary<unknown> {
  const fields = Object.entries(properties as Record<string, Schema>);
  if (fields.length === 0 && typeof additionalProperties === "object") {
    return fc.dictionary(fc.string({ maxLength: 5 }), arbitraryOf(additionalProperties as Schema), { maxKeys: 3 });
  }
  return fc.record(Object.fromEntries(fields.map(([name, field]) => [name, arbitraryOf(field)])), {
    requiredKeys: required as string[],
  });
}

function textOf({ pattern, minLength = 0, maxLength = 20 }: Schema): fc.Arbitrary<string> {
  const bounds = {
    minLength: Number(minLength),
    maxLength: Math.max(Number(minLength), Math.min(Number(maxLength), 20)),
  };
  // What JSON may hold and a database may not: NUL, and half a character.
  const odd = fc.constantFrom("a\0b", "\uD800x", "\u202E").filter((text) => text.length <= bounds.maxLength);
  const plain = bounds.maxLength < 3 ? fc.string(bounds) : fc.oneof(fc.string({ ...bounds, unit: "binary" }), odd);
  if (typeof pattern !== "string") return plain;
  // Ids of what is there are small; those of nothing are drawn.
  if (pattern.startsWith("^[0-9]")) return fc.oneof(fc.constantFrom("1", "2", "3"), fc.stringMatching(/^[0-9]{1,19}$/));
  if (pattern.includes("\\p{")) return fc.oneof(fc.string({ minLength: 1, maxLength: 20 }), fc.constant("\uD800x"));
  return fc.stringMatching(new RegExp(pattern)).filter((text) => text.length <= Number(maxLength) || maxLength === 20);
}

function numberOf({ minimum, maximum }: Schema, type: "integer" | "number"): fc.Arbitrary<number> {
  const min = typeof minimum === "number" ? minimum : Number.MIN_SAFE_INTEGER;
  const max = typeof maximum === "number" ? maximum : Number.MAX_SAFE_INTEGER;
  return type === "integer" ? fc.integer({ min, max }) : fc.double({ min, max, noNaN: true });
}

/** A value with one thing wrong: a field gone, or anything at all in the place of one of its parts. */
export function mutated(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const part = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>(
      -1,
      1.5,
      1e300,
      2 ** 53,
      "",
      "\0",
      "\uD800",
      "x".repeat(5000),
      null,
      [],
      {},
      "NaN",
      "1e400",
    ),
  );
  return fc.tuple(value, part, fc.nat(), fc.boolean()).map(([whole, other, seed, isGone]) => {
    const places = placesOf(whole, []);
    const place = places[seed % places.length] ?? [];
    return put(whole, place, isGone ? undefined : other);
  });
}

type Place = readonly (string | number)[];

function placesOf(value: unknown, at: Place): readonly Place[] {
  if (typeof value !== "object" || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, inner]) => placesOf(inner, [...at, key]))];
}

function put(value: unknown, [key, ...rest]: Place, other: unknown): unknown {
  if (key === undefined) return other ?? null;
  if (Array.isArray(value)) {
    return value.map((inner: unknown, index) => (String(index) === String(key) ? put(inner, rest, other) : inner));
  }
  const { [key]: inner, ...fields } = value as Record<string, unknown>;
  if (rest.length === 0 && other === undefined) return fields;
  return { ...fields, [key]: put(inner, rest, other) };
}
