/** Hundreds of listeners to the log of events, over real HTTP, while the server is killed, stopped and started again. */
import { mkdtemp, rm } from "node:fs/promises";
import { get } from "node:http";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDispatcherClient } from "@dispatcher/client";
import type { DispatcherClient } from "@dispatcher/client";
import { startServer, waitFor } from "@dispatcher/testbed";
import type { ServerProcess } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";

const ADMIN_KEY = "an-admin-key-for-tests";
const LISTENERS = 500;
/** A server with nothing to do has some 150 MiB. */
const RSS_MAX_BYTES = 512 * 2 ** 20;
/** Before each cut, and after the last: enough that every listener is somewhere in the middle. */
const WRITTEN_EACH = 40;
const PATIENT = { timeoutMs: 120_000 } as const;

async function startEmpty() {
  const folder = await mkdtemp(join(tmpdir(), "many-listeners-"));
  const server = await startServer({
    database: { dataDir: folder },
    env: {
      DISPATCHER_ADMIN_KEY: ADMIN_KEY,
      DISPATCHER_METRICS: "public",
      // All of them come from one address, with one key.
      DISPATCHER_RATE_READS_PER_MINUTE: "0",
      DISPATCHER_RATE_WRITES_PER_MINUTE: "0",
    },
  });
  onTestFinished(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const client = createDispatcherClient({ url: server.url, key: ADMIN_KEY, retry: { retries: 60 } });
  await client.asset.import.mutate({ dataset: { key: "test", title: null, sourceUrl: null }, entries: [] });
  await client.dataset.update.mutate({ key: "test", priority: 9 });
  const [first] = await readLog(client);
  if (first === undefined) throw new Error("An update has written no event.");
  return { server, client, first };
}

async function rssBytes({ url }: ServerProcess): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1]);
}

/** Changes the data set again and again, over every cut, until it is stopped. */
function writeOn(client: DispatcherClient) {
  const state = { written: 0, isOver: false };
  const ended = (async () => {
    while (!state.isOver) {
      await client.dataset.update.mutate({ key: "test", priority: 1 + (state.written % 10) });
      state.written += 1;
    }
  })();
  return {
    writeMore: async (count: number) => {
      const goal = state.written + count;
      await waitFor("more events to be written", () => state.written >= goal, PATIENT);
    },
    stop: async () => {
      state.isOver = true;
      await ended;
    },
  };
}

function listen(client: DispatcherClient, lastEventId?: string) {
  const heard: number[] = [];
  const failures: unknown[] = [];
  let beganBehind = lastEventId === undefined ? null : Number(lastEventId);
  const subscription = client.event.live.subscribe(lastEventId === undefined ? {} : { lastEventId }, {
    onData: ({ id, data }) => {
      beganBehind ??= Number(id);
      heard.push(...data.events.map((event) => event.id));
    },
    onError: (error) => failures.push(error),
  });
  return {
    heard,
    failures,
    beganBehind: () => beganBehind,
    stop: () => subscription.unsubscribe(),
  };
}

/** Ids of the whole log, smallest first. */
async function readLog(client: DispatcherClient): Promise<readonly number[]> {
  const ids: number[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await client.event.list.query({ limit: 1000, ...(after === undefined ? {} : { after }) });
    ids.push(...page.events.map(({ id }) => id));
    if (page.next === null) return ids.toSorted((a, b) => a - b);
    after = page.next;
  }
}

test("500 listeners hear every event once and in order, over a server that is killed and one that stops", async () => {
  const { server, client, first } = await startEmpty();
  // Some tell where they go on from, the others begin now and are told where that is.
  const listeners = Array.from({ length: LISTENERS }, (_, index) =>
    index % 2 === 0 ? listen(client) : listen(client, String(first)),
  );
  await waitFor("all to know where they began", () => listeners.every((one) => one.beganBehind() !== null), PATIENT);
  const writer = writeOn(client);
  await writer.writeMore(WRITTEN_EACH);
  await server.kill("SIGKILL");
  await server.restart();
  await writer.writeMore(WRITTEN_EACH);
  const afterKill = await rssBytes(server);
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  await server.restart();
  await writer.writeMore(WRITTEN_EACH);
  await writer.stop();

  // The order of the log is that of its transactions, as somebody is told who reads it when all is over.
  const log = await readLog(client);
  const late = listen(client, String(first));
  const isWhole = ({ heard }: { readonly heard: readonly number[] }): boolean => heard.length >= log.length - 1;
  await waitFor("somebody who comes last to hear everything", () => isWhole(late), PATIENT);
  expect(late.heard.toSorted((a, b) => a - b)).toEqual(log.slice(1));
  const last = late.heard.at(-1);
  await waitFor("all to hear the last event", () => listeners.every(({ heard }) => heard.at(-1) === last), PATIENT);
  for (const { heard, beganBehind, failures } of listeners) {
    const began = beganBehind();
    expect(failures).toEqual([]);
    expect(heard).toEqual(began === first ? late.heard : late.heard.slice(late.heard.indexOf(began ?? -1) + 1));
  }
  expect(Math.max(afterKill, await rssBytes(server))).toBeLessThan(RSS_MAX_BYTES);
  for (const one of [...listeners, late]) one.stop();
});

/** One connection, read only when it is told to: what a browser in a sleeping laptop is to a server. */
async function openStream(url: string, lastEventId: number): Promise<IncomingMessage> {
  const input = encodeURIComponent(JSON.stringify({ json: { lastEventId: String(lastEventId) } }));
  return new Promise((resolve, reject) => {
    const sent = get(
      `${url}/trpc/event.live?input=${input}`,
      { headers: { authorization: `Bearer ${ADMIN_KEY}`, accept: "text/event-stream" }, agent: false },
      (response) => resolve(response.pause()),
    );
    sent.on("error", reject);
  });
}

/** Everything until the stream ends; ids of events, and the last of messages. */
async function readAll(stream: IncomingMessage): Promise<{ readonly text: string; readonly ids: readonly number[] }> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const part of stream) text += String(part);
  const ids = text
    .split("\n")
    .filter((line) => line.startsWith("data: ") && line.includes('"events"'))
    .flatMap((line) => {
      const message = JSON.parse(line.slice("data: ".length)) as { json: { events: readonly { id: number }[] } };
      return message.json.events.map(({ id }) => id);
    });
  return { text, ids };
}

const LANES = 16;
/** Details as long as they may be, so that what the system buffers is full soon. */
const REASON = "気".repeat(500);
/** More than a server keeps for a listener (5,000) and the system for a connection (some 6 MB) together. */
const EVENTS = 12_000;

test("who reads nothing is cut, the server's memory stays as it was, and he goes on without loss", async () => {
  const { server, client, first } = await startEmpty();
  const before = await rssBytes(server);
  const stream = await openStream(server.url, first);
  const quick = listen(client, String(first));
  let written = 0;
  // A data set for each lane, so that they need not wait for each other.
  const lane = async (key: string): Promise<void> => {
    await client.asset.import.mutate({ dataset: { key, title: null, sourceUrl: null }, entries: [] });
    // What changes nothing is no event, so each is another priority than the one before.
    for (let turn = 0; written < EVENTS; turn += 1, written += 1) {
      await client.dataset.update.mutate({ key, priority: 1 + (turn % 10), reason: REASON });
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, index) => lane(`lane-${index}`)));
  await waitFor("the other listener to hear all of them", () => quick.heard.length >= written, PATIENT);
  const { text, ids } = await readAll(stream);
  expect(text).toContain("STREAM_CUT");
  expect(ids.length).toBeLessThan(written);
  const rest = listen(client, String(ids.at(-1)));
  await waitFor("the rest", () => quick.heard.length >= written && ids.length + rest.heard.length >= written, PATIENT);
  expect([...ids, ...rest.heard]).toEqual(quick.heard);
  expect(await rssBytes(server)).toBeLessThan(Math.max(RSS_MAX_BYTES, 2 * before));
  quick.stop();
  rest.stop();
});
