/**
 * Random histories of two servers over one database, against a plain model in memory. `ENGINE_MODEL_RUNS` asks for more of
 * them, and `ENGINE_MODEL_SEED` plays those of a failure again.
 */
import { FAILURE_CODES } from "@dispatcher/core";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { EXTRAS, describePlan } from "./support/engine-node.ts";
import type { Act, Plan } from "./support/engine-node.ts";
import { LOCKED_TABLES, SERVER_NAMES, Servers } from "./support/engine-servers.ts";
import type { LockedTable, ServerName } from "./support/engine-servers.ts";
import { World } from "./support/engine-world.ts";
import type { Entry, Speech } from "./support/engine-world.ts";

const RUNS = Number(process.env["ENGINE_MODEL_RUNS"] ?? 200);
const SEED = process.env["ENGINE_MODEL_SEED"];
const COMMANDS_MAX = 60;
/** What a slow machine does not get done by then, it leaves. */
const TIME_MAX_MS = Number(process.env["ENGINE_MODEL_MS"] ?? 150_000);

const NAMES = ["ada-1", "ben-1", "cleo-1", "ada-2", "dee-1"] as const;
const PATHS = ["f0", "f1", "f2", "f3", "f4", "f5"] as const;
const HOSTS = ["a.example:443", "b.example:443"] as const;
const SHA256 = "ab".repeat(32);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** No sum of few of them is near a time at which something ends. */
const STEPS: readonly (readonly [name: string, ms: number])[] = [
  ["half a second", 600],
  ["70 seconds", 70_000],
  ["13 minutes", 13 * MINUTE_MS],
  ["26 minutes", 26 * MINUTE_MS],
  ["2 hours", 2 * HOUR_MS],
  ["25 hours", 25 * HOUR_MS],
  ["a month", 31 * 24 * HOUR_MS],
];

type Command = fc.AsyncCommand<World, World>;

function command(
  sentence: string,
  run: (world: World) => Promise<void>,
  isPossible: (world: World) => boolean,
): Command {
  return { run: async (world) => run(world), check: isPossible, toString: () => sentence };
}

const servers: fc.Arbitrary<ServerName> = fc.constantFrom(...SERVER_NAMES);
const names = fc.constantFrom(...NAMES);
const paths = fc.constantFrom(...PATHS);

const entries: fc.Arbitrary<Entry> = fc.record({
  path: paths,
  host: fc.constantFrom(HOSTS[0], HOSTS[0], HOSTS[0], HOSTS[1]),
  sizeBytes: fc.constantFrom(100, 100, 100, 60, 0, null),
  sha256: fc.constantFrom(SHA256, SHA256, SHA256, null),
  priority: fc.constantFrom(null, null, 9),
});

const copyRanges = fc.constantFrom(
  undefined,
  undefined,
  { min: 1, target: 2, max: 3 },
  { min: 1, target: 1, max: 1 },
  { min: 2, target: 3, max: 3 },
  { min: 1, target: 1, max: 2 },
);

const acts: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Act>({ kind: "finishes" }) },
  {
    weight: 5,
    arbitrary: fc
      .constantFrom<Exclude<Act["kind"], "fails on">[]>(
        "waits",
        "has more of",
        "finds larger",
        "releases",
        "has forgotten",
        "finishes with other bytes",
        "finishes with a byte too many",
      )
      .map((kind): Act => ({ kind })),
  },
  { weight: 2, arbitrary: fc.constantFrom(...FAILURE_CODES).map((code): Act => ({ kind: "fails on", code })) },
);

const plans: fc.Arbitrary<Plan> = fc.record({
  wants: fc.constantFrom(2, 1, 0, 3),
  freeBytes: fc.constantFrom(1e9, 1e9, 150),
  offeredBytes: fc.constantFrom(null, null, null, null, 250, 600),
  acts: fc.array(acts, { maxLength: 4, size: "max" }),
  extra: fc.constantFrom(null, null, null, null, null, null, null, null, null, null, null, null, ...EXTRAS),
  isReplyLost: fc.constantFrom(false, false, false, true),
});

const speeches: fc.Arbitrary<Speech> = fc.record({ server: servers, name: names, plan: plans });

function describe({ server, name, plan }: Speech): string {
  return `${name} speaks to ${server}: ${describePlan(plan)}`;
}

const imports = fc
  .tuple(servers, copyRanges, fc.uniqueArray(entries, { selector: ({ path }) => path, minLength: 0, maxLength: 4 }))
  .map(([server, copies, batch]) => {
    const range = copies === undefined ? "" : ` with ${copies.min} to ${copies.target} copies, at most ${copies.max}`;
    const files = batch.map(
      ({ path, host, sizeBytes, sha256, priority }) =>
        `${path} (${host}, ${sizeBytes ?? "?"} bytes${sha256 === null ? ", no digest" : ""}${priority === null ? "" : ", urgent"})`,
    );
    return command(
      `${server} imports ${files.join(", ") || "nothing"}${range}`,
      (world) => world.import(server, copies === undefined ? {} : { copies }, batch),
      () => true,
    );
  });

const joins = fc.tuple(servers, names, fc.constantFrom(250, 600, 1000)).map(([server, name, bytes]) =>
  command(
    `${name} joins at ${server} with ${bytes} bytes`,
    (world) => world.join(server, name, bytes),
    (world) => !world.nodes.has(name),
  ),
);

const syncs = speeches.map((speech) =>
  command(
    describe(speech),
    (world) => world.speak([speech]),
    (world) => world.nodes.has(speech.name),
  ),
);

const together = fc
  .tuple(
    fc.uniqueArray(speeches, { selector: ({ name }) => name, minLength: 2, maxLength: 4 }),
    fc.constantFrom(null, null, null, ...SERVER_NAMES),
  )
  .map(([said, sweeper]) => {
    const sweep = sweeper === null ? "" : ` WHILE ${sweeper} sweeps`;
    return command(
      `AT ONCE ${said.map(describe).join(" AND ")}${sweep}`,
      (world) => world.speak(said, sweeper),
      (world) => said.every(({ name }) => world.nodes.has(name)),
    );
  });

const breaks = fc
  .tuple(speeches, fc.constantFrom<LockedTable[]>(...LOCKED_TABLES), fc.boolean())
  .map(([speech, table, isKilled]) =>
    command(
      `${describe(speech)}; the database hangs up while it waits for ${table}${isKilled ? ", and the server is killed" : ""}`,
      (world) => world.breakOff(speech, table, isKilled),
      (world) => world.nodes.has(speech.name),
    ),
  );

const steps = fc
  .tuple(
    fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(...STEPS.slice(0, 3)) },
      { weight: 9, arbitrary: fc.constantFrom(...STEPS.slice(3, 4)) },
      { weight: 4, arbitrary: fc.constantFrom(...STEPS.slice(4, 6)) },
      // It retires whoever is not heard of, for good.
      { weight: 1, arbitrary: fc.constantFrom(...STEPS.slice(6)) },
    ),
    fc.constantFrom(null, ...SERVER_NAMES),
  )
  .map(([[name, ms], sweeper]) =>
    command(
      `${name} pass${sweeper === null ? "" : `, and ${sweeper} sweeps`}`,
      async (world) => {
        await world.step(ms);
        if (sweeper !== null) await world.sweep(sweeper);
      },
      () => true,
    ),
  );

const sweeps = servers.map((server) =>
  command(
    `${server} sweeps`,
    (world) => world.sweep(server),
    () => true,
  ),
);

const kills = servers.map((server) =>
  command(
    `${server} is killed and started again`,
    (world) => Promise.resolve(world.servers.kill(server)),
    () => true,
  ),
);

const withdrawals = fc.tuple(paths, fc.constantFrom("withdrawn", "wanted")).map(([path, state]) =>
  command(
    `people say that ${path} is ${state}`,
    (world) => world.setState(path, state),
    (world) => [...world.model.assets.values()].some((asset) => asset.path === path),
  ),
);

const commands = [
  { weight: 8, arbitrary: syncs },
  { weight: 4, arbitrary: together },
  { weight: 3, arbitrary: steps },
  { weight: 1, arbitrary: sweeps },
  ...[imports, joins, breaks, kills, withdrawals].map((arbitrary) => ({ weight: 1, arbitrary })),
];

test(
  "two servers and their database do what a plain model says, whatever happens",
  { timeout: 2 * TIME_MAX_MS + 60_000 },
  async () => {
    await using engine = await Servers.start();
    const start = async (): Promise<World> => {
      await engine.reset();
      const world = new World(engine);
      const plain = { host: HOSTS[0], sizeBytes: 100, sha256: SHA256, priority: null };
      await world.import(
        "A",
        {},
        ["f0", "f1", "f2"].map((path) => ({ path, ...plain })),
      );
      await world.join("A", "ada-1", 1000);
      await world.join("B", "ben-1", 600);
      await world.join("A", "cleo-1", 600);
      await world.join("B", "ada-2", 250);
      return world;
    };
    const property = fc.asyncProperty(
      fc.commands([fc.oneof(...commands)], { maxCommands: COMMANDS_MAX, size: "max" }),
      async (all) => {
        const world = await start();
        await fc.asyncModelRun(() => ({ model: world, real: world }), all);
      },
    );
    const details = await fc.check(property, {
      numRuns: RUNS,
      interruptAfterTimeLimit: TIME_MAX_MS,
      // Long histories, as many as short ones.
      unbiased: true,
      ...(SEED === undefined ? {} : { seed: Number(SEED) }),
    });
    expect(details.failed ? `${fc.defaultReportMessage(details) ?? ""}\n${String(details.errorInstance)}` : "").toBe(
      "",
    );
  },
);
