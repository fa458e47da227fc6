import { expect, onTestFinished, test } from "vitest";
import { codeOf, post, startApp } from "../../test/support/test-app.ts";
import type { TestApp } from "../../test/support/test-app.ts";
import { createTestDatabase } from "../../test/support/test-database.ts";
import { sweepOnce } from "../sweeps/sweep.ts";
import { ADMIN_COMMAND } from "../services/authenticate.ts";

const ADMIN_KEY = "an-admin-key-for-tests";
const TOKEN = "a-token-for-metrics";
const FACTS = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 100, offeredBytes: 1000 };
const SYNC = { ...FACTS, freeBytes: 1000, wants: 0, open: [], finished: [], failed: [], released: [] };

type Started = TestApp & { readonly nodeKey: string; readonly sql: (text: string) => Promise<unknown> };

async function startWith(env: Readonly<Record<string, string>> = {}): Promise<Started> {
  const database = await createTestDatabase();
  onTestFinished(() => database[Symbol.asyncDispose]());
  const started = await startApp(
    { DISPATCHER_ADMIN_KEY: ADMIN_KEY, DISPATCHER_METRICS: "public", ...env },
    database.url,
  );
  const { services } = started.app;
  const { joinToken } = await services.createJoinToken({ operator: "ada", uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
  const { key } = await services.joinNode({ joinToken, name: "one", ...FACTS }, null);
  return { ...started, nodeKey: key, sql: (text) => database.sql.unsafe(text) };
}

/** Each series with its value. Fails on any line that is not of the text format. */
async function scrape(url: string): Promise<ReadonlyMap<string, number>> {
  const response = await fetch(`${url}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
  const series = new Map<string, number>();
  for (const line of (await response.text()).split("\n")) {
    if (line === "" || /^# (HELP|TYPE) [a-z_]+ .+$/.test(line)) continue;
    const match = /^([a-z_]+(?:\{(?:[a-z_]+="[^"\\]*",?)+\})?) (-?[0-9.e+-]+|Nan|[+-]Inf)$/.exec(line);
    expect(match, line).not.toBeNull();
    series.set(match?.[1] ?? "", Number(match?.[2]));
  }
  return series;
}

test("calls, grants, refusals and ledgers are counted as they happen", async () => {
  const { url, app, nodeKey } = await startWith();
  const entry = { place: "[0]", path: "f", url: "https://origin.example/f", sizeBytes: 100 };
  const blank = { digest: null, mediaType: null, priority: null, removeByMs: null };
  await app.services.importAssets({
    dataset: { key: "d", title: null, sourceUrl: null },
    entries: [{ ...entry, ...blank }],
  });
  expect((await post(url, "node.sync", { ...SYNC, wants: 2 }, nodeKey)).status).toBe(200);
  expect((await post(url, "node.sync", SYNC, "dsp_node_wrong")).status).toBe(401);
  const failed = [{ assignmentId: "1", term: 1, code: "STALLED", message: "half" }];
  expect((await post(url, "node.sync", { ...SYNC, open: [], failed }, nodeKey)).status).toBe(200);
  await sweepOnce(app.dependencies);

  await expect
    .poll(async () => (await scrape(url)).get('dispatcher_calls_total{call="node.sync",code="OK"}'), {
      timeout: 30_000,
    })
    .toBe(2);
  const series = await scrape(url);
  expect(Object.fromEntries(series)).toMatchObject({
    'dispatcher_calls_total{call="node.sync",code="KEY_INVALID"}': 1,
    'dispatcher_call_duration_seconds_count{call="node.sync"}': 3,
    dispatcher_sync_group_size_count: 2,
    dispatcher_grants_total: 1,
    'dispatcher_refusals_total{reason="NOTHING_LEFT"}': 1,
    'dispatcher_reports_total{outcome="accepted"}': 1,
    'dispatcher_failures_total{code="STALLED"}': 1,
    dispatcher_database_up: 1,
    'dispatcher_nodes{life="online"}': 1,
    'dispatcher_nodes{life="lost"}': 0,
    'dispatcher_ledger_bytes{part="offered"}': 1000,
    'dispatcher_ledger_bytes{part="margin"}': 100,
    'dispatcher_origins{state="open"}': 1,
    'dispatcher_database_sessions{state="max"}': 3,
    dispatcher_view_queues: 1,
    dispatcher_requests_in_progress: 1,
  });
  expect(series.get("dispatcher_round_duration_seconds_count")).toBeGreaterThanOrEqual(1);
  expect(series.get("dispatcher_sweep_age_seconds")).toBeGreaterThanOrEqual(0);
});

test("origins are told by what they take, and lost nodes do not count", async () => {
  const { url, sql } = await startWith({ DISPATCHER_ORIGIN_CONCURRENCY: "2" });
  await sql(`insert into origins (host, paused, closed_until, in_use, concurrency)
             values ('a', false, null, 1, null), ('b', false, null, 2, null), ('c', false, null, 1, 1),
                    ('d', true, null, 0, null), ('e', false, now() + interval '1 hour', 0, null)`);
  await sql(`update nodes set life = 'lost', held_bytes = 50, held_copies = 5`);
  expect(Object.fromEntries(await scrape(url))).toMatchObject({
    'dispatcher_origins{state="open"}': 1,
    'dispatcher_origins{state="saturated"}': 2,
    'dispatcher_origins{state="paused"}': 1,
    'dispatcher_origins{state="closed"}': 1,
    dispatcher_origin_fetches: 4,
    'dispatcher_nodes{life="lost"}': 1,
    'dispatcher_ledger_bytes{part="held"}': 0,
    dispatcher_copies: 0,
  });
});

test("strangers cannot make new series", async () => {
  const { url, lines } = await startWith({
    DISPATCHER_RATE_READS_PER_MINUTE: "0",
    DISPATCHER_RATE_WRITES_PER_MINUTE: "0",
  });
  const before = await scrape(url);
  for (let made = 0; made < 20; made += 1) {
    await fetch(`${url}/made/up/${made}?x=${made}`);
    await fetch(`${url}/trpc/made.up${made},stats.overview?batch=1`);
    await post(url, `made"up\n${made}`, {}, `dsp_node_made_up_${made}`);
    await fetch(url, { method: "PUT" });
  }
  await expect
    .poll(() => lines.filter((line) => line.includes('"event":"request"')).length, { timeout: 30_000 })
    .toBeGreaterThanOrEqual(80);
  const names = [...(await scrape(url)).keys()].filter((name) => !before.has(name));
  expect(names.filter((name) => /made|up\d/.test(name))).toEqual([]);
  const calls = new Set(names.flatMap((name) => /call="([^"]+)"/.exec(name)?.[1] ?? []));
  expect([...calls].toSorted()).toEqual(["GET /metrics", "stats.overview", "unknown"]);
});

test("without its database a server still tells of itself, and says so", async () => {
  const { url } = await startApp({ DISPATCHER_METRICS: "public" });
  const series = await scrape(url);
  expect(series.get("dispatcher_database_up")).toBe(0);
  expect(series.get("dispatcher_requests_in_progress")).toBe(1);
  for (const name of ["dispatcher_leases_open", "dispatcher_copies", "dispatcher_sweep_age_seconds"]) {
    expect(series.has(name), name).toBe(false);
  }
});

test("who may read the metrics: nobody without a key, unless they are public", async () => {
  const { url, nodeKey } = await startWith({ DISPATCHER_METRICS: TOKEN });
  const ask = async (key?: string): Promise<string> => {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
    const response = await fetch(`${url}/metrics`, { headers });
    return response.status === 200 ? "200" : `${response.status} ${await codeOf(response)}`;
  };
  expect(await ask()).toBe("401 KEY_MISSING");
  expect(await ask("dsp_node_wrong")).toBe("401 KEY_INVALID");
  expect(await ask(nodeKey)).toBe("403 FORBIDDEN");
  expect(await ask(TOKEN)).toBe("200");
  expect(await ask(ADMIN_KEY)).toBe("200");
});

test("whoever guesses the token is stopped, and whoever has it goes on", async () => {
  const { url } = await startWith({ DISPATCHER_METRICS: TOKEN, DISPATCHER_RATE_JOINS_PER_MINUTE: "2" });
  const ask = async (key: string): Promise<number> =>
    (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${key}` } })).status;
  expect(await ask(TOKEN)).toBe(200);
  expect([await ask("guess-1"), await ask("guess-2"), await ask("guess-3")]).toEqual([401, 401, 429]);
  expect(await ask(TOKEN)).toBe(200);
});
