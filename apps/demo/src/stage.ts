/**
 * The demo's scenery: an origin, a server with its own PostgreSQL, the catalog in it, and the nodes. Everything but the
 * origin is a process of its own, started as anyone would start it.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { createDispatcherClient } from "@dispatcher/client";
import type { DispatcherClient } from "@dispatcher/client";
import { ProgramFailure, runAdmin, startOrigin, startServer } from "@dispatcher/testbed";
import type { Origin, ServerProcess } from "@dispatcher/testbed";
import type { Catalog } from "./catalog.ts";
import type { PlannedNode } from "./fleet-plan.ts";
import { Fleet } from "./fleet.ts";
import { countOf, formatBytes } from "./format.ts";
import { findFreePort } from "./free-port.ts";
import type { Teardown } from "./teardown.ts";

export type StageOptions = {
  readonly catalog: Catalog;
  readonly plan: readonly PlannedNode[];
  readonly copies: number;
  /** The first port to try for the server; 0 for any. */
  readonly port: number;
  readonly folder: string;
  /** Where everything that is started leaves its end. */
  readonly teardown: Teardown;
  readonly signal: AbortSignal;
  readonly tell: (text: string) => void;
};

export type Stage = {
  readonly origin: Origin;
  readonly server: ServerProcess;
  readonly serverDataDir: string;
  readonly client: DispatcherClient;
  readonly fleet: Fleet;
};

/** Few enough to be polite, enough to keep three nodes at work. */
export const ORIGIN_CONCURRENCY = 4;
/** High: the demo shows that concurrency is kept, and a minute is longer than it takes. */
const ORIGIN_REQUESTS_PER_MINUTE = 6000;
/** For each fetch. Slow enough to catch a node in the middle of a file, quick enough that nobody falls asleep. */
export const ORIGIN_BYTES_PER_SECOND = 1.5 * 1024 ** 2;

/** The server's own times are made for months; these are made for half a minute. */
const SERVER_TIMES = {
  DISPATCHER_SYNC_INTERVAL_MS: "400",
  DISPATCHER_SWEEP_INTERVAL_MS: "250",
  DISPATCHER_LEASE_MIN_MS: "4000",
  DISPATCHER_LEASE_GRACE_MS: "1000",
  DISPATCHER_RESTART_MERCY_MS: "0",
  DISPATCHER_RETRY_BASE_MS: "500",
  // The table is drawn anew several times a second.
  DISPATCHER_RATE_READS_PER_MINUTE: "0",
  DISPATCHER_NODE_OFFLINE_MS: "5000",
};

const DATASET = "vega-datasets";

export async function setStage(options: StageOptions): Promise<Stage> {
  const { catalog, plan, copies, folder, teardown, signal, tell } = options;
  const origin = await startOrigin({ files: catalog.folder, bytesPerSecond: ORIGIN_BYTES_PER_SECOND });
  teardown.add(() => origin.close());

  const port = await findFreePort(options.port);
  if (port !== options.port) tell(`port ${options.port} is taken: the server takes ${port}`);
  const serverDataDir = join(folder, "server");
  const adminKey = randomBytes(24).toString("base64url");
  // For the admin commands as well: the import is what makes the dataset with its copies, and the origin with its budget.
  const env = {
    ...SERVER_TIMES,
    DISPATCHER_ADMIN_KEY: adminKey,
    DISPATCHER_ORIGIN_CONCURRENCY: String(ORIGIN_CONCURRENCY),
    DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: String(ORIGIN_REQUESTS_PER_MINUTE),
    DISPATCHER_COPIES_MIN: String(copies),
    DISPATCHER_COPIES_TARGET: String(copies),
    // One more than asked: a copy that is finished after its lease was given away is kept.
    DISPATCHER_COPIES_MAX: String(copies + 1),
  };
  const database = { dataDir: serverDataDir };
  const server = await startServer({ database, port, env, signal });
  teardown.add(() => server.stop());
  tell(`server on ${server.url}, with a PostgreSQL of its own`);

  const admin = (...args: string[]): Promise<unknown> => askAdmin(args, { database, env, signal });
  await admin("import", catalog.source, "--dataset", DATASET, "--base-url", `${origin.url}/`);
  tell(
    `${countOf(catalog.files.length, "file")}, ${formatBytes(catalog.bytes)}, imported from ${DATASET}; they are served by ${origin.url}`,
  );

  const fleet = new Fleet({ plan, folder, signal });
  teardown.add(() => fleet.stopAll());
  await fleet.join(server.url, async (operator) =>
    readJoinToken(await admin("token", "create", "--operator", operator)),
  );
  await fleet.startAll();
  tell(`at work: ${plan.map(({ name, operator }) => `${name} (${operator})`).join(", ")}`);
  return { origin, server, serverDataDir, client: createDispatcherClient({ url: server.url, key: adminKey }), fleet };
}

/** Run an admin command and read the JSON it answers. @throws ProgramFailure */
async function askAdmin(args: readonly string[], options: Parameters<typeof runAdmin>[1]): Promise<unknown> {
  const { exitCode, stdout, stderr } = await runAdmin([...args, "--output", "json"], options);
  if (exitCode !== 0) {
    throw new ProgramFailure(`The command admin ${args.join(" ")} failed.`, exitCode, [stdout, stderr]);
  }
  return JSON.parse(stdout);
}

function readJoinToken(answer: unknown): string {
  if (typeof answer === "object" && answer !== null && "joinToken" in answer && typeof answer.joinToken === "string") {
    return answer.joinToken;
  }
  throw new Error("admin token create answered no join token.");
}
