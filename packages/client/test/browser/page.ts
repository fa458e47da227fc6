/** What a page does with the client; the test bundles it, opens it in a browser and looks at `seen`. */
import { createDispatcherClient, isDispatcherError } from "@dispatcher/client";

export type Seen = {
  assets: number | null;
  failure: { readonly code: string; readonly id: string | undefined } | null;
  readonly eventIds: number[];
  readonly states: string[];
  /** What should not have happened. */
  readonly faults: string[];
};

export type PageProgram = { readonly seen: Seen; start(server: { url: string; key: string }): Promise<void> };

const seen: Seen = { assets: null, failure: null, eventIds: [], states: [], faults: [] };

async function start({ url, key }: { readonly url: string; readonly key: string }): Promise<void> {
  const client = createDispatcherClient({ url, key: async () => key });
  seen.assets = (await client.stats.overview.query()).assets.total;
  try {
    await client.asset.get.query({ id: "999999" });
  } catch (error) {
    if (!isDispatcherError(error, "ASSET_UNKNOWN")) throw error;
    seen.failure = { code: error.code, id: error.details.id };
  }
  client.event.live.subscribe(
    { kinds: ["token.created"] },
    {
      onStarted: () => seen.states.push("started"),
      onData: ({ data }) => seen.eventIds.push(...data.events.map(({ id }) => id)),
      onConnectionStateChange: ({ state }) => seen.states.push(state),
      onError: (error) => seen.faults.push(String(error)),
    },
  );
}

Object.assign(globalThis, { program: { seen, start } satisfies PageProgram });
