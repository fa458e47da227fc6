/**
 * A Dispatcher server in a process of its own, told what to do by the bench over the channel it was forked with: the
 * application as `main.ts` runs it, with its sweeps, and beside it an empty procedure behind the same Fastify. It can also
 * put a crew of nodes to work on its own services, so that no HTTP client stands in the way.
 *
 * This is the one place to say how the engine is opened, and what "uncoalesced" means.
 */
import { initTRPC } from "@trpc/server";
import { fastifyTRPCPlugin } from "@trpc/server/adapters/fastify";
import superjson from "superjson";
import { createApp } from "../../src/app.ts";
import type { App } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { createServices } from "../../src/services/index.ts";
import { openStorage } from "../../src/storage.ts";
import { runSweeps } from "../../src/sweeps/sweep.ts";
import { log } from "./bench-postgres.ts";
import { latenciesOf, makeCrew, throughServices, warmUp, work } from "./fleet.ts";
import type { Crew, FleetNode } from "./fleet.ts";

export type Order =
  | { readonly do: "crew"; readonly nodes: readonly FleetNode[]; readonly inFlight: number; readonly perCall: number }
  | { readonly do: "warm up"; readonly forMs: number }
  | { readonly do: "work"; readonly forMs: number; readonly files?: number }
  | { readonly do: "latencies"; readonly forMs: number; readonly calls: number }
  | { readonly do: "memory" };

export type Answers = {
  readonly crew: null;
  readonly "warm up": null;
  readonly work: { readonly claimed: number; readonly rate: number };
  readonly latencies: readonly number[];
  readonly memory: { readonly rssBytes: number; readonly heapBytes: number };
};

/** What the program says: where it listens, once, then an answer or a failure for each order. */
export type Said =
  | { readonly url: string }
  | { readonly answer: Answers[keyof Answers] }
  | { readonly failure: string };

/** Every call is answered alone: services of its own for each, which have nobody to share a statement with. */
function answerEachAlone({ services, dependencies }: App): void {
  services.syncNode = (call) => createServices(dependencies).syncNode(call);
}

function registerEmpty(app: App): void {
  const t = initTRPC.create({ transformer: superjson });
  const router = t.router({ nothing: t.procedure.mutation(() => null) });
  void app.http.register(fastifyTRPCPlugin, { prefix: "/empty", trpcOptions: { router } });
}

async function carryOut(crew: Crew, order: Exclude<Order, { do: "crew" }>): Promise<Answers[keyof Answers]> {
  if (order.do === "work") return work(crew, order);
  if (order.do === "warm up") {
    await warmUp(crew, order.forMs);
    return null;
  }
  if (order.do === "latencies") return latenciesOf(crew, order);
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  return { rssBytes: rss, heapBytes: heapUsed };
}

function say(said: Said): void {
  process.send?.(said);
}

const config = readConfig(process.env);
const storage = await openStorage(config, log, "bench server");
const app = createApp(config, storage.db, log);
if (process.argv.includes("--uncoalesced")) answerEachAlone(app);
registerEmpty(app);
const sweeping = new AbortController();
let crew: Crew = [];
process.on("message", (order: Order) => {
  if (order.do === "crew") {
    crew = makeCrew(order.nodes, throughServices(app.services), order);
    say({ answer: null });
    return;
  }
  carryOut(crew, order).then(
    (answer) => say({ answer }),
    (error: unknown) => say({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.once("disconnect", () => {
  sweeping.abort();
  void (async () => {
    await app.http.close();
    await sweeps;
    await storage.close();
    process.exit();
  })();
});
const url = await app.http.listen({ host: config.DISPATCHER_HOST, port: config.DISPATCHER_PORT });
const sweeps = runSweeps(app.dependencies, sweeping.signal);
say({ url });
