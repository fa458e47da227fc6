/** Calls over kept connections, with as little of a client as there can be: what is measured is the server. */
import { Agent, request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { IDLE } from "./fleet.ts";
import type { FleetNode, Send, SyncOutput } from "./fleet.ts";

export type Caller = Disposable & {
  /** A mutation; rejects unless it succeeds. */
  readonly mutate: (path: string, input: unknown, key?: string) => Promise<unknown>;
};

export function openCaller(url: string, connections: number): Caller {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const { hostname, port } = new URL(url);
  return {
    mutate: async (path, input, key) => {
      const body = JSON.stringify({ json: input });
      const headers = {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      };
      const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
        const sent = request({ agent, hostname, port, path, method: "POST", headers }, (response) => {
          const parts: Buffer[] = [];
          response.on("data", (part: Buffer) => parts.push(part));
          response.on("error", reject);
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString("utf8") }),
          );
        });
        sent.on("error", reject);
        sent.end(body);
      });
      if (status !== 200) throw new Error(`${path} answered ${status}: ${text.slice(0, 300)}`);
      return (JSON.parse(text) as { result: { data: { json: unknown } } }).result.data.json;
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

export function overHttp({ mutate }: Caller): Send {
  return async ({ key }, input) => (await mutate("/trpc/node.sync", input, key)) as SyncOutput;
}

/** Calls a second with so many at a time. */
export async function callRate(
  call: (lane: number) => Promise<unknown>,
  { lanes, forMs }: { readonly lanes: number; readonly forMs: number },
): Promise<number> {
  const begunAt = performance.now();
  let calls = 0;
  const lane = async (index: number): Promise<void> => {
    // They do not begin in one voice.
    await pause(index % 10);
    while (performance.now() - begunAt < forMs) {
      await call(index);
      calls += 1;
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, index) => lane(index)));
  return (calls / (performance.now() - begunAt)) * 1000;
}

export function callIdle({ mutate }: Caller, nodes: readonly FleetNode[], lane: number): Promise<unknown> {
  return mutate("/trpc/node.sync", IDLE, nodes[lane % nodes.length]?.key);
}

export function callNothing({ mutate }: Caller): Promise<unknown> {
  return mutate("/empty/nothing", IDLE);
}
