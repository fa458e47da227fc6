/** The shapes that programs of the rescue system have known from before, byte for byte, and what becomes of what they say. */
import type { NodeId } from "@dispatcher/core";
import { expect, test } from "vitest";
import { ADMIN_KEY, curl, joinOverRest, startRestApp } from "../../test/support/rest-app.ts";
import type { Answer, RestApp } from "../../test/support/rest-app.ts";
import { ADMIN_COMMAND } from "../services/authenticate.ts";

const SHA256 = "ab".repeat(32);
const OFFER = { name: "attic", description: "A disk", free_space_gb: 1 };

type Listed = { readonly asset_id: string; readonly size_mb: number | null } & Record<string, unknown>;

/** An answer that lists nothing is a problem. */
function listedIn({ body }: Answer): readonly [Listed, ...Listed[]] {
  return body["asset"] as [Listed, ...Listed[]];
}

function saved(asset: Listed, changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { ...asset, status: "SUCCESS", sha256: SHA256, ...changes };
}

async function statesOf(rest: RestApp): Promise<readonly string[]> {
  const rows = await rest.database.sql<{ state: string }[]>`select state from assignments order by id`;
  return rows.map(({ state }) => state);
}

/** The asset as it is listed: every field, in its order. */
function listedText(index: number, id: string, priority: number): string {
  return (
    `{"path":"data/f${index}.csv","name":"f${index}.csv","priority":${priority},"size_mb":1,"ds_id":"climate",` +
    `"res_id":"${id}","asset_id":"${id}","url":"https://origin.example/data/f${index}.csv","magnet_link":"",` +
    `"status":"PENDING"}`
  );
}

test("POST /dispatch, byte for byte: at first with a join token, which joins and tells id and key in headers", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  const { nodeId, key, answer } = await joinOverRest(rest);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
  expect(answer.text).toBe(
    `{"status":"success","message":"1 asset to save","received_data":{"name":"attic","description":"test",` +
      `"free_space_gb":1,"node_id":"${nodeId}"},"asset":[${listedText(0, "1", 1)}]}`,
  );
  expect(key).toMatch(/^dsp_node_[\w-]{43}$/);
  expect(answer.headers.get("cache-control")).toBe("no-store");
});

test("POST /dispatch with the node's key lists again what is not reported, and echoes the node_id as it was sent", async () => {
  const rest = await startRestApp();
  await rest.addAssets(5);
  const { nodeId, key, answer } = await joinOverRest(rest);
  expect(listedIn(answer)).toHaveLength(2);
  const again = await rest.post("/dispatch", { ...OFFER, node_id: Number(nodeId) }, key);
  expect(again.status).toBe(200);
  expect(listedIn(again)).toEqual(listedIn(answer));
  expect(again.body["received_data"]).toEqual({ ...OFFER, node_id: Number(nodeId) });
  expect(again.headers.get("dispatcher-node-key")).toBeNull();
  expect(await statesOf(rest)).toEqual(["granted", "granted"]);
  expect(await rest.imbalances()).toEqual([]);
});

test("POST /assets-downloaded, byte for byte: inserted, and updated when it is said again", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  const { nodeId, key, answer } = await joinOverRest(rest);
  const [asset] = listedIn(answer);
  const magnet = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
  const sent = saved(asset, { magnet_link: magnet, size_bytes: 2 ** 20 });
  const body = JSON.stringify({ rescuer_id: nodeId, message: "done", assets: [sent] });
  const rescue = `{"asset_id":"1","rescuer_id":"${nodeId}","magnet_link":"${magnet}","status":"SUCCESS"}`;
  const answerOf = (message: string, updated: string, inserted: string) =>
    `{"status":"success","message":"${message}","received_data":${body},"asset":[${JSON.stringify(sent)}],` +
    `"updated_rescues":[${updated}],"inserted_rescues":[${inserted}],"not_committed_rescues":[]}`;

  const first = await rest.post("/assets-downloaded", body, key);
  expect(first.status).toBe(200);
  expect(first.text).toBe(answerOf("1 inserted, 0 updated, 0 not committed", "", rescue));
  const second = await rest.post("/assets-downloaded", body, key);
  expect(second.text).toBe(answerOf("0 inserted, 1 updated, 0 not committed", rescue, ""));

  const copies = await rest.database.sql`
    select size_bytes as "sizeBytes", encode(sha256, 'hex') as sha256, trust from replicas`;
  expect([...copies]).toEqual([{ sizeBytes: 2 ** 20, sha256: SHA256, trust: "claimed" }]);
  const links = await rest.database.sql`
    select detail->'magnetLinks'->0->>'magnetLink' as link from events where kind = 'copies.told' order by id limit 1`;
  expect([...links]).toEqual([{ link: magnet }]);
  expect(await rest.imbalances()).toEqual([]);
});

test("the same over the wire by curl", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  const token = await rest.joinToken();
  const json = ["--header", "Content-Type: application/json"];
  const offer = JSON.stringify(OFFER);
  const asked = await curl(...json, "--oauth2-bearer", token, "--data", offer, "--include", `${rest.url}/dispatch`);
  expect(asked.status).toBe(200);
  const key = /^dispatcher-node-key: (\S+)/im.exec(asked.text)?.[1] ?? "";
  const nodeId = /^dispatcher-node-id: (\S+)/im.exec(asked.text)?.[1] ?? "";
  expect(asked.text.split("\r\n\r\n")[1]).toBe(
    `{"status":"success","message":"1 asset to save","received_data":{"name":"attic","description":"A disk",` +
      `"free_space_gb":1,"node_id":"${nodeId}"},"asset":[${listedText(0, "1", 1)}]}`,
  );

  const assets = `[{"asset_id":1,"magnet_link":"","status":"FAIL"}]`;
  const report = `{"rescuer_id":${nodeId},"message":"the line is down","assets":${assets}}`;
  const told = await curl(...json, "--oauth2-bearer", key, "--data", report, `${rest.url}/assets-downloaded`);
  expect(told).toEqual({
    status: 200,
    text:
      `{"status":"success","message":"1 inserted, 0 updated, 0 not committed","received_data":${report},` +
      `"asset":${assets},"updated_rescues":[],"inserted_rescues":[{"asset_id":"1","rescuer_id":"${nodeId}",` +
      `"magnet_link":"","status":"FAIL"}],"not_committed_rescues":[]}`,
  });
  expect(await curl(`${rest.url}/`)).toEqual({ status: 200, text: '"Hello rescuer 👋"' });
});

test("a first call whose answer was lost is made again: the same node, the same key, one use of the token", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  const token = await rest.joinToken();
  const answers = await Promise.all(Array.from({ length: 5 }, () => rest.post("/dispatch", OFFER, token)));
  const last = await rest.post("/dispatch", OFFER, token);
  expect([...answers, last].map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200));
  expect(new Set([...answers, last].map(({ headers }) => headers.get("dispatcher-node-key"))).size).toBe(1);
  const [count] = await rest.database.sql`
    select (select count(*) from nodes)::integer as nodes, (select uses_taken from join_tokens)::integer as uses`;
  expect(count).toEqual({ nodes: 1, uses: 1 });
});

test("a token that is over tells nobody the key any more; the key itself goes on", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  const token = await rest.joinToken();
  const key = (await rest.post("/dispatch", OFFER, token)).headers.get("dispatcher-node-key") ?? "";
  await rest.database.sql`update join_tokens set expires_at = now()`;
  const again = await rest.post("/dispatch", OFFER, token);
  expect([again.status, again.body["code"]]).toEqual([403, "JOIN_TOKEN_INVALID"]);
  expect(again.headers.get("dispatcher-node-key")).toBeNull();
  expect((await rest.post("/dispatch", OFFER, key)).status).toBe(200);
});

test("a name that the operator's other node has is taken, and a revoked key does not come back with the token", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  await joinOverRest(rest);
  const taken = await rest.post("/dispatch", OFFER, await rest.joinToken());
  expect([taken.status, taken.body["code"]]).toEqual([409, "NODE_NAME_TAKEN"]);

  const token = await rest.joinToken("ben", 2);
  const nodeId = (await rest.post("/dispatch", OFFER, token)).headers.get("dispatcher-node-id") as NodeId;
  await rest.app.services.revokeKey({ nodeId }, ADMIN_COMMAND);
  const revoked = await rest.post("/dispatch", OFFER, token);
  expect([revoked.status, revoked.body["code"]]).toEqual([409, "NODE_NAME_TAKEN"]);
});

test("a lease of a node that tells no progress lasts as long as the work it is given at once", async () => {
  const rest = await startRestApp({ DISPATCHER_LEASE_MIN_MS: "60000", DISPATCHER_LEASE_HORIZON_MS: "7200000" });
  await rest.addAssets(2, (index) => (index === 0 ? {} : { sizeBytes: 2 ** 20 * 10_000 }));
  await joinOverRest(rest, { freeGb: 100 });
  const rows = await rest.database.sql<{ seconds: number }[]>`
    select round(extract(epoch from lease_expires_at - granted_at))::integer as seconds
      from assignments order by asset_id`;
  // At an assumed MB a second, twice the time.
  expect(rows.map(({ seconds }) => seconds)).toEqual([7_200, 20_000]);
});

test("422 when nothing fits, with the reason in numbers; the node has joined all the same", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  const { key, answer, nodeId } = await joinOverRest(rest, { freeGb: 0.5 / 1024 });
  expect(answer.status).toBe(422);
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  expect(answer.body).toEqual({
    type: "/docs/errors.md#NOTHING_FITS",
    title: "Nothing fits",
    status: 422,
    detail: expect.stringContaining("NODE_FULL"),
    code: "NOTHING_FITS",
    details: { reason: "NODE_FULL", missingBytes: 2 ** 19, retryAfterMs: expect.any(Number), nodeId },
  });
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await rest.post("/dispatch", OFFER, key)).status).toBe(200);
});

test("1 GB is 1024 MB: a file of all that is free fits, and one of a byte more does not", async () => {
  const rest = await startRestApp();
  await rest.addAssets(2, (index) => ({ sizeBytes: 2 ** 30 + index }));
  const { answer } = await joinOverRest(rest, { freeGb: 1 });
  expect(listedIn(answer)).toEqual([expect.objectContaining({ asset_id: "1", size_mb: 1024 })]);
});

test("free space lies beside what is held: a node that has saved something may fill the rest", async () => {
  const rest = await startRestApp();
  await rest.addAssets(2, () => ({ sizeBytes: 2 ** 30 }));
  const { nodeId, key, answer } = await joinOverRest(rest, { freeGb: 1 });
  const [asset] = listedIn(answer);
  const report = { rescuer_id: nodeId, message: "", assets: [saved(asset)] };
  expect((await rest.post("/assets-downloaded", report, key)).body["inserted_rescues"]).toHaveLength(1);
  const next = await rest.post("/dispatch", OFFER, key);
  expect(listedIn(next).map(({ asset_id }) => asset_id)).toEqual(["2"]);
  expect(await rest.imbalances()).toEqual([]);
});

test("what cannot be proved is not committed, its lease stays, and it may be reported again with proof", async () => {
  const rest = await startRestApp();
  await rest.addAssets(4, (index) => ({
    sizeBytes: index === 1 ? null : 2 ** 20,
    digest: index === 2 ? { algorithm: "sha256", hex: SHA256 } : null,
  }));
  const { nodeId, key } = await joinOverRest(rest);
  await rest.database.sql`update nodes set quota = 4`;
  const assets = listedIn(await rest.post("/dispatch", OFFER, key)).toSorted((a, b) =>
    a.asset_id < b.asset_id ? -1 : 1,
  );
  const [plain, unsized, declared, half] = assets as [Listed, Listed, Listed, Listed];
  const report = async (...lines: readonly Record<string, unknown>[]) => {
    const { body } = await rest.post("/assets-downloaded", { rescuer_id: nodeId, message: "", assets: lines }, key);
    return (body["not_committed_rescues"] as Record<string, unknown>[]).map(({ asset_id, code }) => [asset_id, code]);
  };
  const { sha256: _, ...unproven } = saved(plain);
  expect(
    await report(
      unproven,
      saved(unsized),
      saved(declared, { sha256: "cd".repeat(32) }),
      saved(half, { size_mb: 0.3 }),
      { asset_id: "999", magnet_link: "", status: "FAIL" },
    ),
  ).toEqual([
    [plain.asset_id, "RESCUE_UNPROVEN"],
    [unsized.asset_id, "RESCUE_UNPROVEN"],
    [declared.asset_id, "DIGEST_MISMATCH"],
    [half.asset_id, "RESCUE_UNPROVEN"],
    ["999", "ASSIGNMENT_UNKNOWN"],
  ]);
  // Other bytes than declared are a fault of the node, as they are of an agent.
  expect(await statesOf(rest)).toEqual(["granted", "granted", "failed", "granted"]);
  expect(await report(saved(plain), saved(unsized, { size_bytes: 77 }), saved(half, { size_mb: 1 }))).toEqual([]);
  expect(await statesOf(rest)).toEqual(["stored", "stored", "failed", "stored"]);
  expect(await report(saved(plain, { sha256: "cd".repeat(32) }))).toEqual([[plain.asset_id, "DIGEST_MISMATCH"]]);
  expect(await report(saved(plain), saved(plain))).toEqual([[plain.asset_id, "INPUT_INVALID"]]);
  expect(await rest.imbalances()).toEqual([]);
});

test("a declared digest that is told makes the copy verified", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1, () => ({ digest: { algorithm: "sha256", hex: SHA256 } }));
  const { nodeId, key, answer } = await joinOverRest(rest);
  const report = { rescuer_id: nodeId, message: "", assets: listedIn(answer).map((asset) => saved(asset)) };
  await rest.post("/assets-downloaded", report, key);
  const copies = await rest.database.sql`select trust from replicas`;
  expect([...copies]).toEqual([{ trust: "verified" }]);
});

test("a FAIL gives the lease back with the node's reason, and blames the network unless it says more", async () => {
  const rest = await startRestApp();
  await rest.addAssets(2);
  const { nodeId, key, answer } = await joinOverRest(rest);
  const [first, second] = listedIn(answer) as [Listed, Listed];
  const failed = { magnet_link: "", status: "FAIL" };
  const report = {
    rescuer_id: nodeId,
    message: "no luck",
    assets: [
      { ...first, ...failed },
      { ...second, ...failed, failure_code: "NOT_FOUND" },
    ],
  };
  expect((await rest.post("/assets-downloaded", report, key)).body["inserted_rescues"]).toHaveLength(2);
  expect((await rest.post("/assets-downloaded", report, key)).body["updated_rescues"]).toHaveLength(2);
  const rows = await rest.database.sql`
    select failure_code as code, failure_message as message from assignments order by id`;
  expect([...rows]).toEqual([
    { code: "CONNECT_FAILED", message: "no luck" },
    { code: "NOT_FOUND", message: "no luck" },
  ]);
  expect(await rest.imbalances()).toEqual([]);
});

test("a copy that comes after its lease is over is taken while there is room for it", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  const { nodeId, key, answer } = await joinOverRest(rest);
  await rest.database.sql`
    update assignments set state = 'expired', ended_at = now(), lease_expires_at = null, reserved_bytes = 0`;
  await rest.database.sql`
    update nodes set open_assignments = '{}', lease_due_at = null, reserved_bytes = 0`;
  const report = { rescuer_id: nodeId, message: "", assets: listedIn(answer).map((asset) => saved(asset)) };
  expect((await rest.post("/assets-downloaded", report, key)).body["inserted_rescues"]).toHaveLength(1);
  expect(await statesOf(rest)).toEqual(["stored"]);
});

test("who may ask and report: a node for itself, and nobody else", async () => {
  const rest = await startRestApp();
  await rest.addAssets(1);
  const { nodeId, key } = await joinOverRest(rest);
  const report = { rescuer_id: nodeId, message: "", assets: [] };
  const codeOf = async (path: string, body: unknown, bearer?: string) => {
    const { status, body: problem } = await rest.post(path, body, bearer);
    return `${status} ${String(problem["code"])}`;
  };
  expect(await codeOf("/dispatch", OFFER)).toBe("401 KEY_MISSING");
  expect(await codeOf("/dispatch", OFFER, ADMIN_KEY)).toBe("403 FORBIDDEN");
  expect(await codeOf("/dispatch", OFFER, "nonsense")).toBe("401 KEY_INVALID");
  expect(await codeOf("/dispatch", OFFER, `dsp_join_${"x".repeat(43)}`)).toBe("403 JOIN_TOKEN_INVALID");
  expect(await codeOf("/dispatch", { ...OFFER, node_id: "99" }, key)).toBe("403 FORBIDDEN");
  expect(await codeOf("/assets-downloaded", report)).toBe("401 KEY_MISSING");
  expect(await codeOf("/assets-downloaded", report, ADMIN_KEY)).toBe("403 FORBIDDEN");
  expect(await codeOf("/assets-downloaded", { ...report, rescuer_id: "99" }, key)).toBe("403 FORBIDDEN");
  expect(rest.secrets.leaks()).toEqual([]);
});

test("a body of another shape is 422 and names the field; one that is no JSON is 400", async () => {
  const rest = await startRestApp();
  const token = await rest.joinToken();
  const shape = await rest.post("/dispatch", { ...OFFER, free_space_gb: -1 }, token);
  expect([shape.status, shape.body["code"], shape.body["details"]]).toEqual([
    422,
    "INPUT_INVALID",
    { field: "free_space_gb", faults: 1 },
  ]);
  const { key, nodeId: rescuer_id } = await joinOverRest(rest, { operator: "ben" });
  const line = { asset_id: "1", magnet_link: "", status: "FAIL" };
  const many = (count: number) => ({ rescuer_id, message: "", assets: Array.from({ length: count }, () => line) });
  expect((await rest.post("/assets-downloaded", many(1000), key)).status).toBe(200);
  expect((await rest.post("/assets-downloaded", many(1001), key)).body["details"]).toEqual({
    field: "assets",
    faults: 1,
  });
  const text = await rest.post("/dispatch", "{", token);
  expect([text.status, text.body["code"]]).toEqual([400, "INPUT_INVALID"]);
  const [count] = await rest.database.sql`select count(*)::integer as nodes from nodes where name = ${OFFER.name}`;
  expect(count).toEqual({ nodes: 1 });
});
