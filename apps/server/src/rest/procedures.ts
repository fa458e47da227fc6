/**
 * The procedures of the router as REST sees them, so that a new procedure has its route and its place in the document by
 * itself: a query is GET with its input in the query, a mutation POST with a JSON body; subscriptions are tRPC's alone.
 */
import { z } from "zod";
import type { ProcedureMeta } from "../router/trpc.ts";
import { appRouter } from "../router/index.ts";
import { readDocstrings } from "./docstrings.ts";

export const API_PREFIX = "/api/v1";

/** JSON Schema 2020-12, as OpenAPI 3.1 takes it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

export type RestProcedure = {
  /** `asset.list` */
  readonly path: string;
  readonly kind: "query" | "mutation";
  readonly method: "GET" | "POST";
  /** `/api/v1/asset/list` */
  readonly url: string;
  /** All that the input has to pass, in this order; null for a procedure that takes none. */
  readonly input: { readonly shapes: readonly z.ZodType[]; readonly schema: JsonSchema } | null;
  readonly output: { readonly shape: z.ZodType; readonly schema: JsonSchema } | null;
  /** Who may call it; `key` where nothing more is known. */
  readonly rights: NonNullable<ProcedureMeta["rights"]>;
  readonly summary: string;
  readonly description: string;
};

type Definition = {
  readonly type: "query" | "mutation" | "subscription";
  readonly inputs: readonly unknown[];
  readonly output?: unknown;
  readonly meta?: ProcedureMeta;
};

/** Every procedure that has a route, by path. */
export function restProcedures(): readonly RestProcedure[] {
  // oxlint-disable-next-line no-underscore-dangle -- where tRPC keeps it
  const procedures = appRouter._def.procedures as unknown as Readonly<Record<string, { readonly _def: Definition }>>;
  const docstrings = readDocstrings();
  return Object.entries(procedures)
    .map(([path, procedure]): RestProcedure | null => {
      // oxlint-disable-next-line no-underscore-dangle -- as above
      const { type: kind, inputs, output, meta = {} } = procedure._def;
      if (kind === "subscription") return null;
      const text = meta.description ?? docstrings.get(path) ?? "";
      const shapes = inputs.filter(isShape);
      const schemas = shapes.map(schemaOf);
      const [only] = schemas;
      const schema = schemas.length === 1 && only !== undefined ? only : { allOf: schemas };
      return {
        path,
        kind,
        method: kind === "query" ? "GET" : "POST",
        url: `${API_PREFIX}/${path.replaceAll(".", "/")}`,
        input: shapes.length === 0 ? null : { shapes, schema },
        output: isShape(output) ? { shape: output, schema: schemaOf(output) } : null,
        rights: meta.rights ?? "key",
        summary: meta.summary ?? firstSentence(text) ?? path.replaceAll(".", ": "),
        description: text,
      };
    })
    .filter((procedure) => procedure !== null)
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function isShape(parser: unknown): parser is z.ZodType {
  return parser instanceof z.ZodType;
}

/**
 * What JSON has to be to fit a shape. Of answers as well, where a transform changes types of TypeScript and nothing that JSON
 * knows of; what JSON Schema cannot say, it does not say.
 */
export function schemaOf(shape: z.ZodType): JsonSchema {
  const schema = z.toJSONSchema(shape, { io: "input", unrepresentable: "any" });
  const { $schema: _dialect, ...rest } = schema;
  return JSON.parse(JSON.stringify(rest)) as JsonSchema;
}

function firstSentence(text: string): string | null {
  if (text === "") return null;
  const [sentence = text] = /^.*?[.:;](?=\s|$)/.exec(text) ?? [];
  return sentence.replace(/[.:;]$/, "");
}
