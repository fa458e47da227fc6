import { DispatcherError } from "@dispatcher/core";
import type { JsonSchema } from "./procedures.ts";

type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The name of the one parameter that holds an input which is no object, as JSON. */
export const INPUT_PARAMETER = "input";

/** The fields that a query may name; null where the input is no plain object, and is one parameter of JSON. */
export function fieldsOf(schema: JsonSchema): Readonly<Record<string, JsonSchema>> | null {
  return schema["type"] === "object" && typeof schema["properties"] === "object"
    ? (schema["properties"] as Readonly<Record<string, JsonSchema>>)
    : null;
}

/**
 * An input from the query of a URL: text stays text; numbers, `true` and `false` are read as such where the schema has them,
 * lists by naming the field several times, and the rest as JSON. What does not fit is left for the procedure to refuse.
 * Undefined without any.
 * @throws DispatcherError INPUT_INVALID for a name that the input does not have, which would go unnoticed otherwise
 */
export function readQuery(query: Query, schema: JsonSchema | null): unknown {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const fields = schema === null ? {} : (fieldsOf(schema) ?? { [INPUT_PARAMETER]: schema });
  const unknown = given.find(([name]) => !Object.hasOwn(fields, name))?.[0];
  if (unknown !== undefined) {
    const names = Object.keys(fields);
    const known = names.length === 0 ? "there are none here" : `there are ${names.join(", ")}`;
    throw new DispatcherError("INPUT_INVALID", `No parameter is called ${JSON.stringify(unknown)}; ${known}.`, {
      details: { field: unknown, faults: 1 },
    });
  }
  if (given.length === 0) return undefined;
  const values = given.map(([name, value]) => [name, readValue(value ?? "", fields[name] ?? {})] as const);
  if (schema !== null && fieldsOf(schema) === null) return values[0]?.[1];
  return Object.fromEntries(values);
}

function readValue(value: string | readonly string[], schema: JsonSchema): unknown {
  const types = typesOf(schema);
  if (typeof value !== "string") {
    const items = (schema["items"] ?? {}) as JsonSchema;
    return value.map((text) => readValue(text, items));
  }
  if (types.has("string")) return value;
  if ((types.has("number") || types.has("integer")) && /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(value)) return Number(value);
  if (types.has("boolean") && (value === "true" || value === "false")) return value === "true";
  if (types.has("null") && value === "null") return null;
  if (types.has("array") && !value.trimStart().startsWith("[")) {
    return [readValue(value, (schema["items"] ?? {}) as JsonSchema)];
  }
  if (types.has("object") || types.has("array") || types.size === 0) {
    try {
      return JSON.parse(value) as unknown;
    } catch {
      return value;
    }
  }
  return value;
}

/** The types that a value may have; empty for any. */
function typesOf(schema: JsonSchema): ReadonlySet<string> {
  const { type, anyOf, oneOf, enum: values, const: only } = schema;
  if (typeof type === "string") return new Set([type]);
  if (Array.isArray(type)) return new Set(type as string[]);
  const options = (anyOf ?? oneOf) as readonly JsonSchema[] | undefined;
  if (options !== undefined) return new Set(options.flatMap((option) => [...typesOf(option)]));
  const named = (values as readonly unknown[] | undefined) ?? (only === undefined ? [] : [only]);
  return new Set(named.map((value) => (value === null ? "null" : typeof value)));
}
