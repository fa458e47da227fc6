/**
 * A program of somebody outside the workspace, which uses every part of the client against a real server. The tests compile and
 * run it where only the packed client is installed. It ends with an error at the first thing that is not as promised.
 */
import assert from "node:assert/strict";
import { DispatcherError, createDispatcherClient, isDispatcherError, isErrorCode } from "@dispatcher/client";
import type { ErrorCode, ErrorOf, RouterInputs, RouterOutputs } from "@dispatcher/client";

const url = process.env["DISPATCHER_URL"];
const adminKey = process.env["DISPATCHER_KEY"];
if (url === undefined || adminKey === undefined) throw new Error("Set DISPATCHER_URL and DISPATCHER_KEY.");

// Queries, without a key.
const reader = createDispatcherClient({ url });
const overview: RouterOutputs["stats"]["overview"] = await reader.stats.overview.query();
assert.equal(overview.assets.belowMin, 0);
assert.equal(overview.leases.reassigned, 0);

// Mutations, with a key that is asked for again and again.
let asked = 0;
const admin = createDispatcherClient({
  url,
  key: async () => {
    asked += 1;
    return adminKey;
  },
});
const entries: RouterInputs["asset"]["import"]["entries"] = ["a", "b", "c"].map((path) => ({
  place: path,
  path,
  url: `https://origin.example/${path}`,
  sizeBytes: 100,
  digest: null,
  mediaType: null,
  priority: null,
  removeByMs: null,
}));
const { taken } = await admin.asset.import.mutate({ dataset: { key: "d", title: null, sourceUrl: null }, entries });
assert.equal(taken, 3);
const { joinToken } = await admin.token.create.mutate({ operator: "ada" });
assert.equal(asked, 2);

// A node, all by itself: it joins and syncs.
const facts = { offeredBytes: 1_000, marginBytes: 0, schemes: ["https"], agentVersion: "1.0.0" };
const { nodeId, key } = await reader.node.join.mutate({ joinToken, name: "attic", ...facts });
const node = createDispatcherClient({ url, key });
const synced = await node.node.sync.mutate({
  ...facts,
  freeBytes: 1_000,
  wants: 2,
  open: [],
  finished: [],
  failed: [],
  released: [],
});
const refused: string = synced.refusal === null ? "nothing" : synced.refusal.reason;
assert.equal(synced.grants.length, 2, refused);
assert.ok(synced.nextSyncMs > 0);

// Pages.
const paths: string[] = [];
let after: string | undefined;
do {
  const page = await reader.asset.list.query({ limit: 2, order: "id", ...(after === undefined ? {} : { after }) });
  paths.push(...page.assets.map((asset) => asset.path));
  after = page.next ?? undefined;
} while (after !== undefined);
assert.deepEqual(paths, ["a", "b", "c"]);

// Errors, by code, with the details of each.
async function failureOf(call: Promise<unknown>): Promise<ErrorOf<ErrorCode>> {
  const error: unknown = await call.then(
    () => null,
    (cause: unknown) => cause,
  );
  if (!isDispatcherError(error)) throw new Error("A call did not end with an error of the server.", { cause: error });
  return error;
}
const unknown = await failureOf(reader.asset.get.query({ id: "999999" }));
assert.ok(unknown instanceof DispatcherError && isErrorCode(unknown.code) && !unknown.isRetryable);
if (unknown.code === "ASSET_UNKNOWN") {
  const id: string | undefined = unknown.details.id;
  assert.equal(id, "999999");
} else {
  assert.fail(unknown.message);
}
const wrong: unknown = await failureOf(reader.asset.list.query({ limit: 0 }));
assert.ok(isDispatcherError(wrong, "INPUT_INVALID", "RATE_LIMITED"));
if (wrong.code === "RATE_LIMITED") {
  const waitMs: number = wrong.details.retryAfterMs ?? 1_000;
  assert.fail(`Asked to wait ${waitMs} ms.`);
} else {
  assert.equal(wrong.details.field, "limit");
}
assert.equal((await failureOf(reader.asset.explain.query({ id: "1" }))).code, "KEY_MISSING");
assert.equal((await failureOf(node.asset.explain.query({ id: "1" }))).code, "FORBIDDEN");

// Aborts and timeouts.
const enough = new Error("enough");
await assert.rejects(reader.stats.overview.query(undefined, { signal: AbortSignal.abort(enough) }), enough);
const silent = createDispatcherClient({ url, fetch: () => new Promise(() => {}), retry: { retries: 0 } });
assert.equal((await failureOf(silent.stats.overview.query(undefined, { timeoutMs: 1 }))).code, "SERVER_UNREACHABLE");

// Several calls in one request.
let requests = 0;
const batched = createDispatcherClient({
  url,
  key: adminKey,
  batch: true,
  fetch: (input, init) => {
    requests += 1;
    return fetch(input, init);
  },
});
const [version, nodes, missing] = await Promise.all([
  batched.system.version.query(),
  batched.node.list.query(),
  failureOf(batched.node.get.query({ id: "999999" })),
]);
assert.equal(requests, 1);
assert.match(version.version, /^\d+\.\d+\.\d+/);
assert.deepEqual(
  nodes.nodes.map(({ id, name, life }) => ({ id, name, life })),
  [{ id: nodeId, name: "attic", life: "online" }],
);
assert.equal(missing.code, "NODE_UNKNOWN");

// What happens, in a loop and with calls back.
const told = new Promise<RouterOutputs["event"]["live"]>((resolve, reject) => {
  const subscription = reader.event.live.subscribe(
    { lastEventId: "1" },
    {
      onData: (message) => {
        subscription.unsubscribe();
        resolve(message);
      },
      onError: reject,
    },
  );
});
for await (const { id, data } of admin.event.live.subscribe({ lastEventId: "1" })) {
  const [event] = data.events;
  assert.equal(event?.kind, (await told).data.events[0]?.kind);
  assert.equal(String(data.events.at(-1)?.id), id);
  break;
}
process.stdout.write("every part is as promised\n");
