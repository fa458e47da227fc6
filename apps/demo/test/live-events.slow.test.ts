/** The log of events as it grows, through the typed client, over a server that is killed and started again in the middle. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDispatcherClient } from "@dispatcher/client";
import type { DispatcherClient, RouterOutputs } from "@dispatcher/client";
import { startServer, waitFor } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";

const ADMIN_KEY = "an-admin-key-for-tests";
const UPDATES_EACH = 15;

async function startEmpty() {
  const folder = await mkdtemp(join(tmpdir(), "live-events-"));
  const server = await startServer({ database: { dataDir: folder }, env: { DISPATCHER_ADMIN_KEY: ADMIN_KEY } });
  onTestFinished(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const client = createDispatcherClient({ url: server.url, key: ADMIN_KEY });
  await client.asset.import.mutate({ dataset: { key: "test", title: null, sourceUrl: null }, entries: [] });
  return { server, client };
}

/** Write so many events, one by one; each changes the target of copies to the next number. */
async function write(client: DispatcherClient, from: number): Promise<void> {
  for (let target = from; target < from + UPDATES_EACH; target += 1) {
    await client.dataset.update.mutate({ key: "test", copies: { min: 1, target, max: 99 } });
  }
}

type Event = RouterOutputs["event"]["list"]["events"][number];
const targetOf = ({ detail }: Event): number =>
  (detail as { readonly after: { readonly copies: { readonly target: number } } }).after.copies.target;

/** What a subscription ends with. */
const failureOf = (other: DispatcherClient, lastEventId?: string): Promise<unknown> =>
  new Promise((resolve) => {
    const input = lastEventId === undefined ? {} : { lastEventId };
    other.event.live.subscribe(input, { onData: () => undefined, onError: resolve });
  });

test("a server is killed and started again, and listeners have heard everything once, in order", async () => {
  const { server, client } = await startEmpty();
  const heard: Event[] = [];
  const states: string[] = [];
  const subscription = client.event.live.subscribe(
    { kinds: ["dataset.updated"] },
    {
      onStarted: () => states.push("started"),
      onData: ({ data }) => heard.push(...data.events),
      onError: (error) => states.push(error.message),
    },
  );
  const looped: number[] = [];
  const aborter = new AbortController();
  const loop = (async () => {
    const messages = client.event.live.subscribe({ kinds: ["dataset.updated"] }, { signal: aborter.signal });
    for await (const { data } of messages) {
      looped.push(...data.events.map(targetOf));
    }
  })();
  // The first event may be written before both listen: it is told where the stream begins, which is at an event.
  await waitFor("the stream to be open", () => states.includes("started"));
  let before = 0;
  await waitFor("both to hear the first events", async () => {
    before += 1;
    await client.dataset.update.mutate({ key: "test", priority: 1 + (before % 9) });
    return heard.length > 0 && looped.length > 0;
  });
  const marks = heard.length;

  await write(client, 10);
  await waitFor("some of them to be heard", () => heard.length > marks);
  await server.kill("SIGKILL");
  await server.restart();
  await write(client, 30);
  const written = [10, 30].flatMap((from) => Array.from({ length: UPDATES_EACH }, (_, index) => from + index));
  const last = written.at(-1);
  await waitFor(
    "the last of them to be heard",
    () => looped.at(-1) === last && targetOf(heard.at(-1) as Event) === last,
  );

  const { events } = await client.event.list.query({ kinds: ["dataset.updated"], limit: 1000 });
  const logged = events.toReversed();
  expect(heard.map(({ id }) => id)).toEqual(logged.slice(-heard.length).map(({ id }) => id));
  expect(heard.map(targetOf).filter((target) => target >= 10)).toEqual(written);
  expect(looped.filter((target) => target >= 10)).toEqual(written);
  subscription.unsubscribe();
  aborter.abort();
  await loop;
  expect(states.filter((state) => state !== "started")).toEqual([]);

  // Somebody who comes much later goes on from where he was.
  const [first] = heard;
  const missed = client.event.live.subscribe({ kinds: ["dataset.updated"], lastEventId: String(first?.id) }, {});
  const again: number[] = [];
  for await (const { data } of missed) {
    again.push(...data.events.map(({ id }) => id));
    if (again.length >= heard.length - 1) break;
  }
  expect(again).toEqual(heard.slice(1).map(({ id }) => id));
});

test("a server that stops does not wait for those who listen, and a refusal ends a subscription with its code", async () => {
  const { server, client } = await startEmpty();
  let isOpen = false;
  const listening = client.event.live.subscribe({}, { onStarted: () => (isOpen = true) });
  await waitFor("the stream to be open", () => isOpen);
  expect(await failureOf(client, "999999")).toMatchObject({ code: "EVENT_UNKNOWN" });
  expect(await failureOf(client, "nonsense")).toMatchObject({ code: "INPUT_INVALID" });
  const stranger = createDispatcherClient({ url: server.url, key: "dsp_node_nobody" });
  expect(await failureOf(stranger)).toMatchObject({ code: "KEY_INVALID" });
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  listening.unsubscribe();
});
