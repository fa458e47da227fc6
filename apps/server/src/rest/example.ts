import type { JsonSchema } from "./procedures.ts";

/** Texts of which one fits nearly every pattern that is asked for. */
const TEXTS = ["1", "1.0.0", "https", "noaa", "0".repeat(64), "0".repeat(32), "2026-11-01", "example"];

/**
 * A value that fits a schema, for readers of the document: the least of everything, and what has a default left out. What the
 * schema does not say (that two fields belong together) it cannot know: whoever shows it checks it first.
 */
export function exampleOf(schema: JsonSchema): unknown {
  const { const: only, enum: values, anyOf, oneOf, allOf, type } = schema;
  if (schema["default"] !== undefined) return schema["default"];
  if (only !== undefined) return only;
  if (Array.isArray(values)) return values[0];
  const options = ((anyOf ?? oneOf) as readonly JsonSchema[] | undefined) ?? [];
  const option = options.find(({ type: kind }) => kind === "null") ?? options[0];
  if (option !== undefined) return exampleOf(option);
  if (Array.isArray(allOf)) return Object.assign({}, ...(allOf as readonly JsonSchema[]).map(exampleOf)) as unknown;
  switch (Array.isArray(type) ? type[0] : type) {
    case "object":
      return objectOf(schema);
    case "array":
      return Array.from({ length: Math.max(1, Number(schema["minItems"] ?? 0)) }, () =>
        exampleOf((schema["items"] ?? {}) as JsonSchema),
      );
    case "string":
      return textOf(schema);
    case "integer":
    case "number":
      return Math.max(Number(schema["minimum"] ?? 0), 0);
    case "boolean":
      return false;
    default:
      return null;
  }
}

function objectOf({ properties = {}, required = [] }: JsonSchema): unknown {
  const fields = Object.entries(properties as Record<string, JsonSchema>);
  return Object.fromEntries(
    fields
      .filter(([name]) => (required as readonly string[]).includes(name))
      .map(([name, field]) => [name, exampleOf(field)]),
  );
}

function textOf({ pattern, minLength = 0, maxLength = Infinity }: JsonSchema): string {
  const isRight = (text: string): boolean =>
    text.length >= Number(minLength) &&
    text.length <= Number(maxLength) &&
    (typeof pattern !== "string" || new RegExp(pattern, "u").test(text));
  return TEXTS.toReversed().find(isRight) ?? "example";
}
