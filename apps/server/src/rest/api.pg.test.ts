/** The document of REST, driven: it is valid, every operation in it is there, and every answer is one that it tells of. */
import { Validator } from "@seriousme/openapi-schema-validator";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { arbitraryOf, mutated } from "../../test/support/arbitrary-of.ts";
import { createJudge, endpointsOf, inputSchemaOf, toQuery } from "../../test/support/openapi-client.ts";
import type { Document, Endpoint } from "../../test/support/openapi-client.ts";
import { ADMIN_KEY, curl, joinOverRest, startRestApp } from "../../test/support/rest-app.ts";
import type { Answer, RestApp } from "../../test/support/rest-app.ts";
import { appRouter } from "../router/index.ts";
import { ADMIN_COMMAND } from "../services/authenticate.ts";
import { exampleOf } from "./example.ts";

// oxlint-disable no-underscore-dangle -- where tRPC keeps them
const PROCEDURES = appRouter._def.procedures as unknown as Record<string, { _def: { type: string } }>;
const WITH_ROUTES = Object.entries(PROCEDURES)
  .filter(([, procedure]) => procedure._def.type !== "subscription")
  .map(([path]) => path);
// oxlint-enable no-underscore-dangle

const COPY = {
  sizeBytes: 1,
  sha256: "ab".repeat(32),
  digest: null,
  etag: null,
  lastModified: null,
  fetchMs: 1,
  fetchedBytes: 1,
};

async function documentOf(rest: RestApp): Promise<Document> {
  return (await rest.get("/openapi.json")).body as unknown as Document;
}

test("GET /openapi.json is valid OpenAPI 3.1 and has every procedure that is not a subscription", async () => {
  const rest = await startRestApp();
  const document = await documentOf(rest);
  expect(document.openapi).toBe("3.1.0");
  expect(await new Validator().validate(structuredClone(document) as Record<string, unknown>)).toEqual({ valid: true });
  const ids = endpointsOf(document).map(({ operation }) => operation.operationId);
  expect(ids.filter((id) => id.includes(".")).toSorted()).toEqual(WITH_ROUTES.toSorted());
  expect(ids.filter((id) => !id.includes(".")).toSorted()).toEqual([
    "assets-downloaded",
    "dispatch",
    "greeting",
    "health",
    "mock_dispatch",
  ]);
});

test("every operation says in words what it does, who may call it, and how it may be refused", async () => {
  const document = await documentOf(await startRestApp());
  for (const { operation } of endpointsOf(document)) {
    const { operationId, summary, security, responses } = operation;
    // A procedure without a docstring would be told by its name.
    expect(summary, operationId).toMatch(/^[A-Z].* /);
    expect(security.length, operationId).toBeGreaterThan(0);
    expect(Object.keys(responses), operationId).toEqual(expect.arrayContaining(["200", "400", "401", "403", "500"]));
  }
});

test("every operation in the document is called, and answers as the document tells", async () => {
  const rest = await startRestApp();
  await rest.addAssets(3);
  const { nodeId, key } = await joinOverRest(rest);
  const document = await documentOf(rest);
  const judge = createJudge(document);
  const token = await rest.joinToken("ben");
  // One that may lose its leases and be given up.
  const other = await joinOverRest(rest, { name: "other" });
  const facts = { agentVersion: "1.0.0", schemes: ["https"], offeredBytes: 1000, marginBytes: 0 };
  const page = { page: 1, pages: 1, asOfMs: 0, afterId: null, upToId: null, copies: [] };
  /** What the document cannot know; all others are called by what it says of them. */
  const inputs: Readonly<Record<string, { readonly input?: unknown; readonly key?: string }>> = {
    "asset.get": { input: { id: "1" } },
    "asset.prioritize": { input: { ids: ["1"], priority: 3 } },
    "asset.restore": { input: { ids: ["1"] } },
    "asset.withdraw": { input: { ids: ["1"] } },
    "assignment.claim": { input: { wants: 1, known: [], freeBytes: 1000 }, key },
    "assignment.complete": { input: { assignmentId: "999999", term: 1, ...COPY }, key },
    "assignment.fail": { key },
    "assignment.release": { key },
    "assignment.renew": { key },
    "dataset.update": { input: { key: "d", priority: 3 } },
    "node.block": { input: { id: other.nodeId } },
    "node.drain": { input: { id: other.nodeId } },
    "node.get": { input: { id: other.nodeId } },
    "node.giveBack": { input: { offeredBytes: null }, key },
    "node.leave": { input: { how: "gracefully", dryRun: true }, key },
    "node.message": { input: { id: other.nodeId, message: "hello" } },
    "node.retire": { input: { id: (await joinOverRest(rest, { name: "third" })).nodeId } },
    "node.unblock": { input: { id: other.nodeId } },
    "node.undrain": { input: { id: other.nodeId } },
    "assets-downloaded": { input: { rescuer_id: nodeId, message: "", assets: [] }, key },
    dispatch: { key },
    "key.revoke": { input: { id: "1" } },
    "node.inventory": { input: page, key },
    "node.join": { input: { joinToken: token, name: "new", ...facts } },
    "node.sync": {
      input: { ...facts, freeBytes: 1000, wants: 1, open: [], finished: [], failed: [], released: [] },
      key,
    },
    "token.create": { input: { operator: "cleo" } },
  };
  const outcomes: string[] = [];
  for (const endpoint of endpointsOf(document)) {
    const { url, method, operation } = endpoint;
    const schema = inputSchemaOf(operation);
    const told =
      operation.requestBody?.content["application/json"]?.example ?? (schema === null ? {} : exampleOf(schema));
    const { input = told, key: bearer = ADMIN_KEY } = inputs[operation.operationId] ?? {};
    const { status, text, headers } =
      method === "GET" ? await rest.get(`${url}${toQuery(input)}`, bearer) : await rest.post(url, input, bearer);
    const fault = judge(endpoint, { status, text, type: headers.get("content-type") ?? "" });
    outcomes.push(`${operation.operationId}: ${fault ?? (status < 300 ? "ok" : text)}`);
  }
  // What has nobody to be about is told so, as any caller would be.
  const unknown = /^[\w.]+: \{"type":"\/docs\/errors.md#([A-Z]+_UNKNOWN|LEASE_ENDED)"/;
  expect(outcomes.filter((line) => !line.endsWith(": ok") && !unknown.test(line))).toEqual([]);
  expect(outcomes.filter((line) => line.endsWith(": ok")).length).toBeGreaterThanOrEqual(
    Object.keys(inputs).length + 8,
  );
});

test("a query is GET with its input in the query, a mutation POST with JSON, and both answer what tRPC answers", async () => {
  const rest = await startRestApp();
  await rest.addAssets(3, (index) => ({ priority: index + 1 }));
  const list = await rest.get("/api/v1/asset/list?limit=2&incomplete=true&dataset=climate");
  expect(list.status).toBe(200);
  const input = encodeURIComponent(JSON.stringify({ json: { limit: 2, incomplete: true, dataset: "climate" } }));
  const same = (await rest.get(`/trpc/asset.list?input=${input}`)).body as { result: { data: { json: unknown } } };
  expect(list.body).toEqual(same.result.data.json);
  expect(list.body["assets"]).toHaveLength(2);
  const next = await rest.get(`/api/v1/asset/list?after=${encodeURIComponent(String(list.body["next"]))}`);
  expect(next.body["assets"]).toHaveLength(1);

  const made = await rest.post("/api/v1/token/create", { operator: "ada", uses: 3 }, ADMIN_KEY);
  expect([made.status, made.body]).toEqual([200, expect.objectContaining({ operator: "ada" })]);
  const byCurl = await curl("--oauth2-bearer", ADMIN_KEY, `${rest.url}/api/v1/token/list`);
  expect([byCurl.status, byCurl.text]).toEqual([200, expect.stringContaining('"usesLeft":3')]);
});

/** Status and code of a problem, which shows nothing of where it comes from. */
function problemOf(answer: Answer): string {
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  expect(answer.text).not.toMatch(/"stack"|node_modules|\.ts:/);
  return `${answer.status} ${String(answer.body["code"])}`;
}

test("rights and errors are those of the procedures, as problem details without a stack", async () => {
  const rest = await startRestApp({ DISPATCHER_PUBLIC_READ: "off" });
  const { key } = await rest.app.services.createKey({ role: "viewer", name: "wall" }, ADMIN_COMMAND);
  expect(problemOf(await rest.get("/api/v1/asset/list"))).toBe("401 KEY_MISSING");
  expect((await rest.get("/api/v1/asset/list", key)).status).toBe(200);
  expect(problemOf(await rest.post("/api/v1/token/create", { operator: "a" }, key))).toBe("403 FORBIDDEN");
  expect(problemOf(await rest.get("/api/v1/asset/list", "dsp_1_wrong"))).toBe("401 KEY_INVALID");
  expect(problemOf(await rest.get("/api/v1/asset/get?id=77", key))).toBe("404 ASSET_UNKNOWN");
  expect(problemOf(await rest.get("/api/v1/asset/list?limit=0", key))).toBe("400 INPUT_INVALID");
  expect(problemOf(await rest.get("/api/v1/asset/list?limit=many", key))).toBe("400 INPUT_INVALID");
  expect(problemOf(await rest.get("/api/v1/asset/explode", key))).toBe("404 PROCEDURE_UNKNOWN");
  expect(problemOf(await rest.post("/api/v1/token/create", "{", ADMIN_KEY))).toBe("400 INPUT_INVALID");
  const text = { "content-type": "text/plain" };
  expect(problemOf(await rest.post("/api/v1/token/create", "hello", ADMIN_KEY, text))).toBe("415 INPUT_INVALID");

  expect(problemOf(await rest.get("/api/v1/%zz", key))).toBe("400 INPUT_INVALID");

  const misspelt = await rest.get("/api/v1/asset/list?limti=1", key);
  expect(problemOf(misspelt)).toBe("400 INPUT_INVALID");
  expect(misspelt.body["detail"]).toMatch(/"limti"; there are dataset, .*limit/);
  const wrongWay = await rest.post("/api/v1/asset/list", {}, key);
  expect(problemOf(wrongWay)).toBe("405 PROCEDURE_UNKNOWN");
  expect(wrongWay.headers.get("allow")).toBe("GET");
});

test("a bug is told without detail and logged with its cause, once", async () => {
  const rest = await startRestApp();
  rest.app.services.readOverview = () => Promise.reject(new Error("the secret inside"));
  const { status, text } = await rest.get("/api/v1/stats/overview");
  expect([status, JSON.parse(text)]).toEqual([500, expect.objectContaining({ code: "INTERNAL" })]);
  expect(text).not.toContain("the secret inside");
  expect(rest.secrets.lines.filter((line) => line.includes("the secret inside"))).toHaveLength(1);
});

test("the page at /docs and all that it loads come from this server alone", async () => {
  const rest = await startRestApp();
  const page = await rest.get("/docs/");
  expect(page.headers.get("content-type")).toContain("text/html");
  const policy = page.headers.get("content-security-policy") ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toMatch(/https?:|\*/);
  expect(page.text).not.toMatch(/(src|href)="(https?:)?\/\//);
  const loaded = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = ""]) => path);
  expect(loaded.length).toBeGreaterThan(3);
  for (const path of loaded) {
    expect((await fetch(new URL(path, `${rest.url}/docs/`))).status, path).toBe(200);
  }
  expect((await rest.get("/docs/json")).body).toEqual((await rest.get("/openapi.json")).body);
  const errors = await rest.get("/docs/errors.md");
  expect(errors.text).toContain("## NOTHING_FITS\n");
});

test("no input, right or wrong, finds a fault of the server or an answer that the document does not tell of", async () => {
  const rest = await startRestApp();
  await rest.addAssets(5);
  // Several: some will be given up, or lose their keys, by what is called.
  const nodeKeys: string[] = [];
  for (const name of ["one", "two", "three", "four"]) nodeKeys.push((await joinOverRest(rest, { name })).key);
  const keyOf = async (role: "viewer" | "operator") => {
    const made = await rest.app.services.createKey(
      { role, name: role, ...(role === "operator" ? { operator: "ada" } : {}) },
      ADMIN_COMMAND,
    );
    return made.key;
  };
  const token = await rest.joinToken("ben", 1000);
  const others = [await keyOf("viewer"), await keyOf("operator"), token];
  const keys = [undefined, ADMIN_KEY, ADMIN_KEY, ADMIN_KEY, ...nodeKeys, ...others];
  const document = await documentOf(rest);
  const judge = createJudge(document);
  const calls = endpointsOf(document).map((endpoint) => {
    const schema = inputSchemaOf(endpoint.operation);
    const right = schema === null ? fc.constant(undefined) : arbitraryOf(schema);
    return fc.record({
      endpoint: fc.constant(endpoint),
      input: fc.oneof({ weight: 3, arbitrary: right }, { weight: 2, arbitrary: mutated(right) }),
      key: fc.constantFrom(...keys),
    });
  });
  const statuses = new Map<string, Set<number>>();
  await fc.assert(
    fc.asyncProperty(fc.oneof(...calls), async ({ endpoint, input, key }) => {
      const { status, ...received } = await inject(rest, endpoint, input, key);
      const fault = status >= 500 ? `${status}: ${received.text}` : judge(endpoint, { status, ...received });
      expect(fault).toBeNull();
      const { operationId } = endpoint.operation;
      statuses.set(operationId, (statuses.get(operationId) ?? new Set()).add(status));
    }),
    { numRuns: 3000 },
  );
  // It has been somewhere: most operations were let in by some of their inputs, and refused others.
  const letIn = [...statuses.values()].filter((seen) => seen.has(200)).length;
  expect(letIn).toBeGreaterThan(calls.length / 2);
  expect(await rest.imbalances()).toEqual([]);
}, 120_000);

/** Without a socket in between, which is what most of the time would go into. */
async function inject(rest: RestApp, { url, method }: Endpoint, input: unknown, key: string | undefined) {
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const response =
    method === "GET"
      ? await rest.app.http.inject({ method, url: `${url}${toQuery(input)}`, headers: authorization })
      : await rest.app.http.inject({
          method,
          url,
          headers: { ...authorization, "content-type": "application/json" },
          payload: JSON.stringify(input) ?? "",
        });
  const type = response.headers["content-type"] ?? "";
  return { status: response.statusCode, type, text: response.payload };
}
