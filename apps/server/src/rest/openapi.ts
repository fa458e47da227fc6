/** The OpenAPI 3.1 document of all that is served over REST, made of the shapes that check it. */
import type { z } from "zod";
import { AssetsDownloadedInput, AssetsDownloadedOutput, DispatchInput, DispatchOutput } from "../wire/rescue.ts";
import { MockDispatchInput, MockDispatchOutput } from "../wire/mock.ts";
import { VERSION } from "../version.ts";
import { exampleOf } from "./example.ts";
import { SCENARIO_HEADER } from "./mock/choose-scenario.ts";
import { PROBLEM_TYPE, ProblemDetails } from "../http/problem.ts";
import { schemaOf } from "./procedures.ts";
import type { JsonSchema, RestProcedure } from "./procedures.ts";
import { INPUT_PARAMETER, fieldsOf } from "./read-query.ts";
import { NODE_ID_HEADER, NODE_KEY_HEADER } from "./rescue.ts";

export type OpenApiDocument = JsonSchema;

const INTRODUCTION = `Decides which volunteer saves which endangered file.

Keys go into the header \`Authorization: Bearer <key>\`. Errors are problem details (RFC 9457): programs look at \`code\` alone.
Sizes are bytes and times milliseconds since the Unix epoch, but for the fields with \`_gb\` and \`_mb\` in their names, which
count by 1024. Everything below \`/api/v1\` is the tRPC router of the same server.`;

const SECURITY = {
  key: {
    type: "http",
    scheme: "bearer",
    description:
      "A key of this server: `dsp_<id>_<secret>`, or `dsp_node_<secret>` of a node; for some calls a join token.",
  },
  token: { type: "http", scheme: "bearer", bearerFormat: "JWT", description: "A token of the issuer that is trusted." },
} as const;

const WITH_KEY = [{ key: [] }, { token: [] }];
const SECURITY_BY_RIGHTS: Readonly<Record<RestProcedure["rights"], readonly JsonSchema[]>> = {
  anyone: [{}],
  reader: [{}, ...WITH_KEY],
  node: [{ key: [] }],
  operator: WITH_KEY,
  admin: WITH_KEY,
  key: WITH_KEY,
};
const RIGHTS: Readonly<Record<RestProcedure["rights"], string>> = {
  anyone: "Anyone may call it.",
  reader: "Anyone may call it, or with `DISPATCHER_PUBLIC_READ=off` whoever has a key.",
  node: "A node calls it for itself.",
  operator: "Operators call it for what is theirs, administrators for all.",
  admin: "Administrators call it.",
  key: "It needs a key.",
};

/** What can be refused, by status: every operation may meet each of them, in front of it if not in it. */
const REFUSALS: Readonly<Record<string, string>> = {
  400: "The request cannot be read, or a field is not as it should be.",
  401: "A key is missing, unknown, revoked or past its time.",
  403: "The key does not have this right.",
  404: "There is no such thing.",
  408: "The request did not arrive in time.",
  409: "It contradicts what is there already.",
  413: "The body is too large.",
  415: "The body is no JSON.",
  422: "The body is JSON of another shape, or nothing fits.",
  429: "There were too many calls; Retry-After says when to go on.",
  431: "The headers are too large.",
  500: "A fault of the server, whose log has the cause.",
  503: "The server, its database or the issuer of tokens is away; the call may be repeated as it was.",
};

export function describeRest(procedures: readonly RestProcedure[]): OpenApiDocument {
  const nouns = [...new Set(procedures.map(({ path }) => path.split(".")[0] ?? path))];
  return {
    openapi: "3.1.0",
    info: {
      title: "Dispatcher",
      version: VERSION,
      description: INTRODUCTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/", description: "This server." }],
    tags: [
      { name: "rescue", description: "Asking for work and reporting it, as programs of the rescue system do." },
      { name: "service", description: "The service itself." },
      ...nouns.map((name) => ({ name, description: `The procedures \`${name}.*\`.` })),
    ],
    paths: { ...rescuePaths(), ...servicePaths(), ...Object.fromEntries(procedures.map(pathOf)) },
    components: {
      securitySchemes: SECURITY,
      schemas: { Problem: schemaOf(ProblemDetails) },
      responses: Object.fromEntries(
        Object.entries(REFUSALS).map(([status, description]) => [`Refusal${status}`, refusal(status, description)]),
      ),
    },
  };
}

function refusal(status: string, description: string): JsonSchema {
  const retry = { schema: { type: "integer" }, description: "Seconds after which to ask again." };
  return {
    description,
    ...(["422", "429", "503"].includes(status) ? { headers: { "Retry-After": retry } } : {}),
    content: { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } },
  };
}

function refusals(): JsonSchema {
  return Object.fromEntries(
    Object.keys(REFUSALS).map((status) => [status, { $ref: `#/components/responses/Refusal${status}` }]),
  );
}

function pathOf(procedure: RestProcedure): readonly [url: string, operations: JsonSchema] {
  const { path, method, url, input, output, rights, summary, description } = procedure;
  const answer = output === null ? {} : withExample(output.schema, [output.shape]);
  return [
    url,
    {
      [method.toLowerCase()]: {
        operationId: path,
        tags: [path.split(".")[0]],
        summary,
        description: `${description} ${RIGHTS[rights]}`.trim(),
        security: SECURITY_BY_RIGHTS[rights],
        ...(input === null ? {} : method === "GET" ? { parameters: parametersOf(input.schema) } : bodyOf(input)),
        responses: {
          200: { description: "Done.", content: { "application/json": { schema: output?.schema ?? {}, ...answer } } },
          ...refusals(),
        },
      },
    },
  ];
}

function parametersOf(schema: JsonSchema): readonly JsonSchema[] {
  const fields = fieldsOf(schema);
  if (fields === null) {
    return [{ name: INPUT_PARAMETER, in: "query", required: true, content: { "application/json": { schema } } }];
  }
  const required = (schema["required"] ?? []) as readonly string[];
  return Object.entries(fields).map(([name, field]) => {
    const isJson = field["type"] === "object" || (field["type"] === undefined && !isPlain(field));
    return {
      name,
      in: "query",
      required: required.includes(name),
      ...(isJson ? { content: { "application/json": { schema: field } } } : { schema: field }),
    };
  });
}

/** A value that a query can hold as it is. */
function isPlain({ anyOf, enum: values, const: only }: JsonSchema): boolean {
  const options = anyOf as readonly JsonSchema[] | undefined;
  if (options !== undefined) return options.every((option) => !["object", "array"].includes(String(option["type"])));
  return values !== undefined || only !== undefined;
}

function bodyOf({ schema, shapes }: NonNullable<RestProcedure["input"]>): JsonSchema {
  return {
    requestBody: {
      required: !shapes.every((shape) => shape.safeParse(undefined).success),
      content: { "application/json": { schema, ...withExample(schema, shapes) } },
    },
  };
}

/** None where what can be made up does not pass the checks that no schema tells of. */
function withExample(schema: JsonSchema, shapes: readonly z.ZodType[]): JsonSchema {
  const example = exampleOf(schema);
  return shapes.every((shape) => shape.safeParse(example).success) ? { example } : {};
}

type Described = {
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly security: readonly JsonSchema[];
  readonly more?: JsonSchema;
  readonly body?: { readonly shape: z.ZodType; readonly example: unknown };
  readonly answer: { readonly schema: JsonSchema; readonly example: unknown; readonly headers?: JsonSchema };
};

function operation({
  operationId,
  tag,
  summary,
  description,
  security,
  more = {},
  body,
  answer,
}: Described): JsonSchema {
  const { headers, ...content } = answer;
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security,
    ...more,
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/json": { schema: schemaOf(body.shape), example: body.example } },
          },
        }),
    responses: {
      200: {
        description: "Done.",
        ...(headers === undefined ? {} : { headers }),
        content: { "application/json": content },
      },
      ...refusals(),
    },
  };
}

const ASSET = {
  path: "by_year/2024.csv.gz",
  name: "2024.csv.gz",
  priority: 1,
  size_mb: 162.5,
  ds_id: "ghcn-daily",
  res_id: "42",
  asset_id: "42",
  url: "https://www.ncei.noaa.gov/pub/data/ghcn/daily/by_year/2024.csv.gz",
  magnet_link: "",
  status: "PENDING",
} as const;

function told(description: string): JsonSchema {
  return { schema: { type: "string" }, description };
}

function rescuePaths(): JsonSchema {
  const offer = { name: "attic", description: "A disk in the attic", free_space_gb: 500 };
  const saved = {
    ...ASSET,
    magnet_link: "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a",
    status: "SUCCESS",
    sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  } as const;
  const report = { rescuer_id: "7", message: "one more", assets: [saved] };
  const rescue = { asset_id: "42", rescuer_id: "7", magnet_link: saved.magnet_link, status: "SUCCESS" };
  const payload = { node_id: "node-001", capacity_gb: 100, priority_level: "high" };
  return {
    "/dispatch": {
      post: operation({
        operationId: "dispatch",
        tag: "rescue",
        summary: "Ask for assets to save",
        description:
          "A node asks with its key, and at first with a join token: then it joins under its name, and hears its id and key " +
          "in headers. The answer lists all that it has not reported yet. 422 with the code NOTHING_FITS when that is nothing.",
        security: [{ key: [] }],
        body: { shape: DispatchInput, example: offer },
        answer: {
          schema: schemaOf(DispatchOutput),
          example: {
            status: "success",
            message: "1 asset to save",
            received_data: { ...offer, node_id: "7" },
            asset: [ASSET],
          },
          headers: {
            [NODE_ID_HEADER]: told("The node's id, where it called with a join token."),
            [NODE_KEY_HEADER]: told("The node's key, where it called with a join token: keep it."),
          },
        },
      }),
    },
    "/assets-downloaded": {
      post: operation({
        operationId: "assets-downloaded",
        tag: "rescue",
        summary: "Report what was saved, and what could not be",
        description:
          "Idempotent: what was known is in updated_rescues, what is new in inserted_rescues, and what is not taken in " +
          "not_committed_rescues with the code of an error and why. A SUCCESS has to tell the SHA-256 of the stored file.",
        security: [{ key: [] }],
        body: { shape: AssetsDownloadedInput, example: report },
        answer: {
          schema: schemaOf(AssetsDownloadedOutput),
          example: {
            status: "success",
            message: "1 inserted, 0 updated, 0 not committed",
            received_data: report,
            asset: [saved],
            updated_rescues: [],
            inserted_rescues: [rescue],
            not_committed_rescues: [],
          },
        },
      }),
    },
    "/mock_dispatch": {
      post: operation({
        operationId: "mock_dispatch",
        tag: "rescue",
        summary: "Made-up work, for those who write a client",
        description: "404 with the code MOCK_MODE_OFF where mock mode is off, as it is in production.",
        security: [{}],
        more: {
          parameters: [
            {
              name: SCENARIO_HEADER,
              in: "header",
              required: false,
              description: "The scenario to answer by, `name` or `name; tasks=1000; seed=7; delay_ms=50`.",
              schema: { type: "string" },
            },
          ],
        },
        body: { shape: MockDispatchInput, example: payload },
        answer: {
          schema: schemaOf(MockDispatchOutput),
          example: {
            status: "success",
            message: "Payload received and processed",
            received_data: payload,
            mock_data: {
              assigned_tasks: [{ task_id: "task-1", dataset_url: ASSET.url, size_mb: 162.5, priority: "high" }],
              estimated_duration: "2 hours",
              node_status: "active",
            },
          },
        },
      }),
    },
  };
}

function servicePaths(): JsonSchema {
  const greeting = { schema: { type: "string" }, example: "Hello rescuer 👋" };
  const health = { schema: { type: "object" }, example: { status: "ok" } };
  const description =
    "What the procedure `system.health` answers; 503 with the same body when the service cannot work.";
  const sick = operation({
    operationId: "health",
    tag: "service",
    summary: "Whether the service can do its work now",
    description,
    security: [{}],
    answer: health,
  });
  const unavailable = { description: "It cannot.", content: { "application/json": { schema: health.schema } } };
  return {
    "/": {
      get: operation({
        operationId: "greeting",
        tag: "service",
        summary: "A greeting",
        security: [{}],
        answer: greeting,
      }),
    },
    "/health": { get: { ...sick, responses: { ...(sick["responses"] as JsonSchema), 503: unavailable } } },
  };
}
