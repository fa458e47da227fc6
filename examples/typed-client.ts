/**
 * Over the network, with the typed client: every procedure with its types, retries, and errors with codes.
 *
 *   DISPATCHER_KEY=dsp_... pnpm exec node examples/typed-client.ts http://127.0.0.1:8001
 *
 * It tells how far the rescue is and, page by page, what is still to do. With an admin key it does something, and hears of it.
 */
import { DispatcherError, createDispatcherClient } from "@dispatcher/client";

const [url = "http://127.0.0.1:8001"] = process.argv.slice(2);
const key = process.env["DISPATCHER_KEY"];
const client = createDispatcherClient({ url, ...(key !== undefined && { key }) });

try {
  // A query: progress may be read by anyone, unless the server was told otherwise.
  const { assets, copies } = await client.stats.overview.query();
  console.log(`${assets.total} files, ${copies.counting} of ${copies.wanted} copies`);

  // A list comes in pages; `next` of one is `after` of the following.
  let after: string | undefined;
  do {
    const page = await client.asset.list.query({
      incomplete: true,
      limit: 1000,
      ...(after !== undefined && { after }),
    });
    for (const asset of page.assets) console.log(`to do: ${asset.dataset}/${asset.path}`);
    after = page.next ?? undefined;
  } while (after !== undefined);

  if (key !== undefined) {
    // Mutations. A join token lets an operator take part, here with one node, within the hour; this one is taken back.
    const made = await client.token.create.mutate({ operator: "Example operator", lifeMs: 3_600_000 });
    const [newest] = (await client.event.list.query({ kinds: ["token.created"], limit: 1 })).events;
    await client.token.revoke.mutate({ id: made.id, reason: "it was an example" });

    // A subscription: the log of events as it grows, here from one that is known, so that nothing behind it is missed. Over cuts
    // and restarts it goes on behind the last message by itself.
    const listening = new AbortController();
    const wanted = { kinds: ["token.revoked"], ...(newest !== undefined && { lastEventId: String(newest.id) }) };
    for await (const { data } of client.event.live.subscribe(wanted, { signal: listening.signal })) {
      for (const { kind, detail } of data.events) console.log(`heard ${kind}: ${String(detail?.["reason"])}`);
      listening.abort();
    }
  }
} catch (error) {
  if (!(error instanceof DispatcherError)) throw error;
  // Codes are stable, docs/errors.md explains each; `isRetryable` tells whether the same call may succeed later.
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = error.exitStatus;
}
