/** Operations of an OpenAPI document, and whether an answer is one that the document tells of. */
import { Ajv2020 } from "ajv/dist/2020.js";
import type { ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

export type Schema = Readonly<Record<string, unknown>>;
type Content = Readonly<Record<string, { readonly schema: Schema; readonly example?: unknown }>>;
type Parameter = {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema?: Schema;
  readonly content?: Content;
};
export type Operation = {
  readonly operationId: string;
  readonly summary: string;
  readonly security: readonly Schema[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly $ref?: string; readonly content?: Content }>>;
};
export type Document = {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly responses: Readonly<Record<string, { readonly content: Content }>> };
};
export type Endpoint = { readonly url: string; readonly method: "GET" | "POST"; readonly operation: Operation };

export function endpointsOf({ paths }: Document): readonly Endpoint[] {
  return Object.entries(paths).flatMap(([url, operations]) =>
    Object.entries(operations).map(([method, operation]) => {
      return { url, method: method.toUpperCase() as Endpoint["method"], operation };
    }),
  );
}

function schemaOf({ schema, content }: Parameter): Schema {
  return schema ?? content?.["application/json"]?.schema ?? {};
}

/** The schema of what an operation takes: the body, or an object of its query parameters; null for nothing. */
export function inputSchemaOf({ requestBody, parameters = [] }: Operation): Schema | null {
  if (requestBody !== undefined) return requestBody.content["application/json"]?.schema ?? null;
  const fields = parameters.filter((parameter) => parameter.in === "query");
  if (fields.length === 0) return null;
  return {
    type: "object",
    properties: Object.fromEntries(fields.map((field) => [field.name, schemaOf(field)])),
    required: fields.filter(({ required }) => required === true).map(({ name }) => name),
  };
}

/** An object as the query of a URL: values that are no text, number or flag as JSON. */
export function toQuery(input: unknown): string {
  if (typeof input !== "object" || input === null) return "";
  const pairs = Object.entries(input).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return [[name, typeof value === "string" ? value : JSON.stringify(value)] as [string, string]];
  });
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs).toString()}`;
}

export type Received = { readonly status: number; readonly type: string; readonly text: string };

/** Says what is wrong with an answer by the document; null where nothing is. */
export function createJudge(document: Document): (endpoint: Endpoint, received: Received) => string | null {
  const ajv = new Ajv2020({ strict: false, allErrors: false });
  // A CommonJS package whose default is in its default.
  (addFormats as unknown as (instance: Ajv2020) => void)(ajv);
  ajv.addSchema(document, "document");
  const validators = new Map<string, ValidateFunction>();
  return ({ url, method, operation }, { status, type, text }) => {
    const told = operation.responses[String(status)];
    if (told === undefined) return `${status} is not told of: ${text}`;
    const name = told.$ref?.split("/").at(-1);
    const response = told.content === undefined ? document.components.responses[name ?? ""] : told;
    const media = type.split(";")[0] ?? "";
    if (response?.content?.[media] === undefined) return `${media} is not told of for ${status}: ${text}`;
    const path =
      told.content === undefined
        ? `components/responses/${name}`
        : `paths/${escape(url)}/${method.toLowerCase()}/responses/${status}`;
    const ref = `document#/${path}/content/${escape(media)}/schema`;
    const validate = validators.get(ref) ?? ajv.compile({ $ref: ref });
    validators.set(ref, validate);
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      return `${status} is no JSON: ${text}`;
    }
    return validate(body) ? null : `${status} ${ajv.errorsText(validate.errors)}: ${text}`;
  };
}

/** As a part of a JSON pointer within a URI fragment. */
function escape(part: string): string {
  return encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"));
}
