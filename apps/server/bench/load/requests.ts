/** Requests over kept connections of undici, by its lowest door: what a generator spends on each is what it cannot offer. */
import { Client } from "undici";
import type { Call } from "./mix.ts";

/** Longer than any client of ours waits. Nobody who is still without an answer then gets one. */
const PATIENCE_MS = 40_000;

export type Answer = { readonly status: number; readonly text: string };

export type Requests = AsyncDisposable & {
  /** Null: the connection ended, or the time was over, without an answer. Never rejects. */
  readonly send: (call: Call) => Promise<Answer | null>;
  /** Why there was none, and how often. */
  readonly faults: ReadonlyMap<string, number>;
  /** Opened so far. */
  readonly connections: number;
};

export function openRequests(url: string, connections: number): Requests {
  const clients: Client[] = [];
  // The one used last comes first, so that there are no more connections than are needed. undici's own pool looks through
  // all of them for each request.
  const free: Client[] = [];
  const waiting: ((client: Client) => void)[] = [];
  const faults = new Map<string, number>();

  const take = (use: (client: Client) => void): void => {
    const client = free.pop();
    if (client !== undefined) {
      use(client);
    } else if (clients.length < connections) {
      const made = new Client(url, {
        pipelining: 1,
        headersTimeout: PATIENCE_MS,
        bodyTimeout: PATIENCE_MS,
        connect: { timeout: PATIENCE_MS },
      });
      clients.push(made);
      use(made);
    } else {
      waiting.push(use);
    }
  };
  const giveBack = (client: Client): void => {
    const next = waiting.shift();
    if (next === undefined) free.push(client);
    else next(client);
  };

  return {
    faults,
    get connections() {
      return clients.length;
    },
    send: ({ method, path, body, key, address }) =>
      new Promise((resolve) => {
        take((client) => {
          const headers: Record<string, string> = { "x-forwarded-for": address };
          if (body !== undefined) headers["content-type"] = "application/json";
          if (key !== undefined) headers["authorization"] = `Bearer ${key}`;
          let status = 0;
          const parts: Buffer[] = [];
          const end = (answer: Answer | null): void => {
            giveBack(client);
            resolve(answer);
          };
          client.dispatch(
            { method, path, headers, body: body ?? null },
            {
              onRequestStart: () => {},
              onResponseStart: (_controller, code) => {
                status = code;
              },
              onResponseData: (_controller, part) => {
                parts.push(part);
              },
              onResponseEnd: () => end({ status, text: Buffer.concat(parts).toString("utf8") }),
              onResponseError: (_controller, error) => {
                const why = "code" in error ? String(error.code) : error.message;
                faults.set(why, (faults.get(why) ?? 0) + 1);
                end(null);
              },
            },
          );
        });
      }),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(clients.map((client) => client.destroy()));
    },
  };
}
