import { existsSync, statfsSync } from "node:fs";
import { styleText } from "node:util";
import { createDispatcherClient } from "@dispatcher/client";
import { DispatcherError } from "@dispatcher/core";
import { connectStorage, examineDatabase, loadConfig } from "@dispatcher/server/local";
import type { ServerConfig } from "@dispatcher/server/local";
import type { Command } from "commander";
import type { Column } from "../answer.ts";
import { judgeClock, judgeDisk, judgePostgres, judgeSchema, judgeService, ok } from "../checkup.ts";
import type { Finding, Verdict } from "../checkup.ts";
import { createCommandLog, keyOf } from "../door.ts";
import type { DoorOptions } from "../door.ts";
import { untilStopped } from "../io.ts";
import type { Io } from "../io.ts";
import { examples } from "../options.ts";
import type { Runner } from "../session.ts";
import { VERSION } from "../version.ts";

/** One check failed: EX_UNAVAILABLE of sysexits.h. Warnings alone are no failure. */
const EXIT_FAILED = 69;

const COLOUR = { ok: "green", warn: "yellow", fail: "red" } as const satisfies Record<Verdict, string>;

/** `admin doctor`: whether all is well, and what to do where it is not. */
export function addDoctor(program: Command, run: Runner): void {
  program
    .command("doctor")
    .description("check settings, database, clock, disk, sweeps and ledgers; changes nothing")
    .addHelpText(
      "after",
      "\nEach line is ok, warn or fail, with what to do. Exits with 69 if one fails, else with 0.\n" +
        "With --url it checks what can be seen from outside; the rest is seen where the database is.\n" +
        examples(
          "doctor",
          "doctor -o json | jq '.[] | select(.verdict != \"ok\")'",
          "doctor --url https://dispatcher.example.org",
        ),
    )
    .action(
      run.alone(async ({ answer, io }, options) => {
        const findings: Finding[] = [];
        const checks = options.url === undefined ? checkHere(io) : checkThere(options.url, options, io);
        const gather = async (): Promise<void> => {
          for await (const found of checks) findings.push(found);
        };
        await untilStopped(gather(), io.signal);
        await answer.list({ columns: columnsOn(io), none: "Nothing was checked." }, [findings]);
        return findings.some(({ verdict }) => verdict === "fail") ? EXIT_FAILED : 0;
      }),
    );
}

function columnsOn({ stdout }: Io): readonly Column<Finding>[] {
  return [
    {
      name: "verdict",
      title: "",
      // Colours on a terminal alone, and not with NO_COLOR.
      text: ({ verdict }) => styleText(COLOUR[verdict], verdict, { stream: stdout }),
    },
    { name: "check", title: "check" },
    { name: "found", title: "found" },
    { name: "advice", title: "what to do" },
  ];
}

function failed(check: string, error: unknown): Finding {
  if (!(error instanceof DispatcherError)) throw error;
  const advice = error.message.slice(error.detail.length).trim();
  return { check, verdict: "fail", found: `${error.code}: ${error.detail}`, advice };
}

async function* checkHere(io: Io): AsyncGenerator<Finding> {
  let config: ServerConfig;
  try {
    config = loadConfig(io.env, io.folder).config;
  } catch (error) {
    yield failed("settings", error);
    return;
  }
  yield ok("settings", "all can be read");
  const { DATABASE_URL: url, DISPATCHER_DATA_DIR: dataDir } = config;
  if (url === undefined && !existsSync(dataDir)) {
    const advice = "Name it with DISPATCHER_DATA_DIR or DATABASE_URL, or start a server, which makes it.";
    yield { check: "database", verdict: "fail", found: `there is none: ${dataDir} does not exist`, advice };
    return;
  }
  if (url === undefined) {
    const { bavail, blocks, bsize } = statfsSync(dataDir);
    yield judgeDisk(dataDir, { freeBytes: bavail * bsize, totalBytes: blocks * bsize });
  }
  try {
    const storage = await connectStorage(config, createCommandLog(config, io), "dispatcher doctor");
    try {
      const { postgres, clock, schema, service } = await examineDatabase(storage.db, Date.now);
      yield* judgePostgres(postgres, config);
      yield judgeClock("the database", clock);
      yield judgeSchema(schema);
      if (service !== null) yield* judgeService(service, config);
    } finally {
      await storage.close();
    }
  } catch (error) {
    yield failed("database", error);
  }
}

async function* checkThere(url: string, options: DoorOptions, io: Io): AsyncGenerator<Finding> {
  const key = keyOf(options, io);
  const client = createDispatcherClient({ url, ...key });
  try {
    const askedMs = Date.now();
    const { status, database } = await client.system.health.query();
    yield ok("server", `answers in ${Date.now() - askedMs} ms at ${url}`);
    const found = database.message ?? "the server does not reach it";
    yield status === "ok"
      ? ok("database", "the server reaches it")
      : { check: "database", verdict: "fail", found, advice: "Its log says why." };
    yield judgeVersion(await client.system.version.query());
  } catch (error) {
    yield failed("server", error);
    return;
  }
  yield await attempt("clock", async () => {
    const askedMs = Date.now();
    const { nowMs, ageMs } = await client.stats.overview.query();
    const uncertainMs = (Date.now() - askedMs) / 2;
    return judgeClock("the server", { aheadMs: nowMs + ageMs - askedMs - uncertainMs, uncertainMs });
  });
  if (key.key === undefined) {
    const advice = "Most commands are refused without one: give --key-file or DISPATCHER_KEY.";
    yield { check: "key", verdict: "warn", found: "none was given", advice };
    return;
  }
  yield await attempt("key", async () => {
    await client.key.list.query({ limit: 1 });
    return ok("key", "it opens what operators or administrators may do");
  });
}

async function attempt(check: string, look: () => Promise<Finding>): Promise<Finding> {
  try {
    return await look();
  } catch (error) {
    return failed(check, error);
  }
}

function judgeVersion({ version, schema }: { readonly version: string; readonly schema: string }): Finding {
  if (version === VERSION) return ok("version", `${version} on both sides, schema ${schema}`);
  const found = `the server is ${version}, this command ${VERSION}`;
  return { check: "version", verdict: "warn", found, advice: "Use the command of the server's release." };
}
