import { createInterface } from "node:readline/promises";
import { DispatcherError, describeFailure } from "@dispatcher/core";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { loadConfig } from "../config.ts";
import type { ServerConfig } from "../config.ts";
import { createLog } from "../log.ts";
import type { Log } from "../log.ts";
import { openStorage } from "../storage.ts";
import type { Storage } from "../storage.ts";
import { VERSION } from "../version.ts";
import { createAdminCaller, fromCaller } from "./caller.ts";
import type { Caller } from "./caller.ts";
import { showAssets } from "./commands/assets.ts";
import { runExport } from "./commands/export.ts";
import { runImport } from "./commands/import.ts";
import { runImportState } from "./commands/import-state.ts";
import { createKey, revokeKey, showKeys } from "./commands/keys.ts";
import { showNodes } from "./commands/nodes.ts";
import { showStatus } from "./commands/status.ts";
import { createToken, revokeToken, showTokens } from "./commands/tokens.ts";
import type { OutputFormat } from "./show.ts";

const EXIT_USAGE = 64;

type GlobalOptions = { readonly output: OutputFormat };
type Shown = { readonly data: unknown; readonly text: string };

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It has to be a whole number of 1 or more.");
  return Number(text);
}

const DURATION_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `30m`, `12h`, `7d`. */
function parseDuration(text: string): number {
  const match = /^(\d{1,5})([mhd])$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It has to be a number with m, h or d, such as 7d.");
  return Number(match[1]) * DURATION_MS[match[2] as keyof typeof DURATION_MS];
}

/** What commander says of a wrong word, as the one line that every failure of ours is. */
function usageFault(text: string): string {
  const said = text
    .replace(/^error: /, "")
    .trim()
    .replaceAll(/\s+/g, " ");
  return `USAGE: ${said.replace(/\.?$/, ".")} Run it with --help.\n`;
}

type Opened = { readonly config: ServerConfig; readonly storage: Storage; readonly log: Log };

/** Open the database, run one command on it, close again. */
async function withStorage<Result>(run: (opened: Opened) => Promise<Result>): Promise<Result> {
  const { config } = loadConfig(process.env, process.cwd());
  // What people read goes to stdout as a whole; the log of a short command is its warnings, on stderr.
  const log = createLog({
    level: config.LOG_LEVEL === "DEBUG" ? "DEBUG" : "WARNING",
    isTerminal: process.stderr.isTTY,
    destination: process.stderr,
  });
  const storage = await openStorage(config, log, "dispatcher admin");
  try {
    return await run({ config, storage, log });
  } finally {
    await storage.close();
  }
}

/** Run one command as an administrator. */
function withCaller<Result>(run: (caller: Caller) => Promise<Result>): Promise<Result> {
  return withStorage(async ({ config, storage, log }) => {
    try {
      return await run(createAdminCaller(config, storage, log));
    } catch (error) {
      throw fromCaller(error);
    }
  });
}

/** Aborts when somebody wants the command to stop, in order. A second Ctrl-C ends it at once. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stopping.abort());
  return stopping.signal;
}

const program = new Command("pnpm admin")
  .description("Administer a Dispatcher: on its database directly, beside a running server or without one.")
  .version(VERSION)
  .addOption(new Option("-o, --output <format>", "how to answer").choices(["table", "json"]).default("table"))
  .addHelpText(
    "after",
    `
The database is the one the server uses: DATABASE_URL, or the server's own below DISPATCHER_DATA_DIR (./.dispatcher).

Examples:
  pnpm admin token create --operator "Library of Alexandria"     let somebody take part
  pnpm admin import datapackage.json --base-url https://data.example.org/files/
  pnpm admin assets --incomplete --limit 20
  pnpm admin status -o json
  pnpm admin export --out backup.ndjson`,
  )
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(usageFault(text)) });

/** Options of the command itself and of the program, which may stand before or behind the command's name. */
function show(run: (caller: Caller, options: Record<string, unknown>) => Promise<Shown>) {
  return async (_options: unknown, command: Command): Promise<void> => {
    const options = command.optsWithGlobals<GlobalOptions & Record<string, unknown>>();
    const { data, text } = await withCaller((caller) => run(caller, options));
    process.stdout.write(`${options.output === "json" ? JSON.stringify(data) : text}\n`);
  };
}

/** As `show`, of a command with an id behind its name. */
function showOf(run: (caller: Caller, id: string, options: Record<string, unknown>) => Promise<Shown>) {
  return (id: string, options: unknown, command: Command): Promise<void> =>
    show((caller, given) => run(caller, id, given))(options, command);
}

program
  .command("status")
  .description("how far the rescue is")
  .action(show((caller) => showStatus(caller)));

program
  .command("nodes")
  .description("the nodes that take part, with their ledgers")
  .action(show((caller) => showNodes(caller)));

program
  .command("assets")
  .description("the catalog, most urgent first")
  .option("--dataset <key>", "only of this dataset")
  .addOption(new Option("--state <state>", "only in this state").choices(["wanted", "gone", "review", "withdrawn"]))
  .option("--incomplete", "only those with fewer copies than their target")
  .option("--limit <count>", "how many", parseCount, 50)
  .option("--after <next>", "the page behind the one that ended with this")
  .action(
    show((caller, { dataset, state, incomplete, limit, after }) =>
      showAssets(caller, { dataset, state, incomplete, limit, after } as Parameters<typeof showAssets>[1]),
    ),
  );

const REASON = ["--reason <text>", "why, for the log of events"] as const;

program
  .command("tokens")
  .description("join tokens that still let somebody in, without the secrets")
  .option("--all", "those that are used up, revoked or past their time as well", false)
  .action(show((caller, { all }) => showTokens(caller, { all: all === true })));

const token = program.command("token").description("join tokens");
token
  .command("create")
  .description("make a join token; it is shown this once")
  .requiredOption(
    "--operator <name>",
    "the person or organisation whose nodes join with it; copies are spread over operators",
  )
  .option("--uses <count>", "nodes that may join with it", parseCount, 1)
  .addOption(
    new Option("--life <duration>", "how long it is valid: 30m, 12h, 7d")
      .argParser(parseDuration)
      .default(7 * DURATION_MS.d, "7d"),
  )
  .option(...REASON)
  .action(
    show((caller, { operator, uses, life, reason }) =>
      createToken(caller, { operator, uses, lifeMs: life, reason } as Parameters<typeof createToken>[1]),
    ),
  );
token
  .command("revoke <id>")
  .description("let nobody join with it any more; nodes that did stay")
  .option(...REASON)
  .action(showOf((caller, id, { reason }) => revokeToken(caller, { id, reason } as Parameters<typeof revokeToken>[1])));

program
  .command("keys")
  .description("keys that are valid, without the secrets; nodes' own from their join are not among them")
  .option("--all", "those that are revoked or past their time as well", false)
  .action(show((caller, { all }) => showKeys(caller, { all: all === true })));

const key = program.command("key").description("keys to call the server with");
key
  .command("create")
  .description("make a key; it is shown this once")
  .addOption(
    new Option("--role <role>", "what it may do; see docs/security.md")
      .choices(["admin", "operator", "node", "viewer"])
      .makeOptionMandatory(),
  )
  .requiredOption("--name <name>", "who or what uses it, for lists")
  .option("--operator <name>", "with the role operator: whose nodes it manages")
  .option("--node <id>", "with the role node: for which one it speaks")
  .addOption(
    new Option("--life <duration>", "how long it is valid: 30m, 12h, 90d; without it, it has no end").argParser(
      parseDuration,
    ),
  )
  .option(...REASON)
  .action(
    show((caller, { role, name, operator, node, life, reason }) =>
      createKey(caller, { role, name, operator, nodeId: node, lifeMs: life, reason } as Parameters<
        typeof createKey
      >[1]),
    ),
  );
key
  .command("revoke [id]")
  .description("let a key open nothing any more; or, with --node, all keys of a node")
  .option("--node <id>", "the node whose keys are revoked, the one from its join among them")
  .option(...REASON)
  .action(
    showOf((caller, id, { node, reason }) =>
      revokeKey(caller, { id, nodeId: node, reason } as Parameters<typeof revokeKey>[1]),
    ),
  );

function parsePriority(text: string): number {
  if (!/^([1-9]|10)$/.test(text))
    throw new InvalidArgumentError("It has to be a whole number from 1 to 10, 10 most urgent.");
  return Number(text);
}

program
  .command("import <source>")
  .description("take in a catalog: a Frictionless datapackage.json, a JSON or a CSV list; a file or a URL")
  .option("--base-url <url>", "where relative paths start")
  .option("--dataset <key>", "the dataset's lasting name; without it, the catalog's own")
  .addOption(
    new Option("--format <format>", "of the catalog; told by its content unless given")
      .choices(["auto", "frictionless", "json", "csv"])
      .default("auto"),
  )
  .option("--priority <1-10>", "of files that name none; 10 is most urgent", parsePriority)
  .option("--copies <count>", "independent copies to aim at", parseCount)
  .option("--show-skipped", "name every entry that is not taken")
  .option(...REASON)
  .action(async (source: string, _options: unknown, command: Command) => {
    const { reason, ...options } = command.optsWithGlobals<
      GlobalOptions & Parameters<typeof runImport>[0]["options"] & { readonly reason?: string }
    >();
    const signal = stopSignal();
    process.exitCode = await withCaller((caller) =>
      runImport({
        source,
        options,
        importBatch: async (input) => {
          try {
            return await caller.asset.import({ ...input, reason });
          } catch (error) {
            throw fromCaller(error);
          }
        },
        out: process.stdout,
        err: process.stderr,
        isTerminal: process.stderr.isTTY,
        signal,
      }),
    );
  });

program
  .command("export")
  .description("write everything the dispatcher has to remember, as it is at this moment; servers may go on")
  .option("--out <file>", "a file, which has its name once it is whole; - for standard output", "-")
  .option("--without-events", "leave out the log of what happened")
  .addHelpText(
    "after",
    `
The file has all that the database has: keys and join tokens as hashes only, and the names of operators and nodes.

Examples:
  pnpm admin export --out backup.ndjson
  pnpm admin export | gzip > backup.ndjson.gz
  pnpm admin export --without-events --out small.ndjson`,
  )
  .action(async (_options: unknown, command: Command) => {
    const { out, withoutEvents, output } = command.optsWithGlobals<
      GlobalOptions & { readonly out: string; readonly withoutEvents?: true }
    >();
    const signal = stopSignal();
    process.exitCode = await withStorage(({ storage }) =>
      runExport({
        db: storage.db,
        options: { out, events: withoutEvents !== true, output },
        out: process.stdout,
        err: process.stderr,
        isTerminal: process.stderr.isTTY,
        signal,
      }),
    );
  });

/** Ask on the terminal; anything but a yes is a no, the end of the input too. @throws the signal's reason */
async function askOnTerminal(question: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // While a line is read, Ctrl-C is a key like others: make it the signal that it is elsewhere.
  terminal.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  const hasEnded = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  try {
    return /^y(es)?$/i.test((await Promise.race([terminal.question(question, { signal }), hasEnded])).trim());
  } finally {
    terminal.close();
  }
}

program
  .command("import-state <file>")
  .description("rebuild a dispatcher in an empty database from an exported file, or from standard input (-)")
  .option("--yes", "do not ask; the old servers are stopped")
  .addHelpText(
    "after",
    `
All of it is imported or nothing. Never run the old dispatcher and the new one at once: both would hand out the same leases.

Examples:
  DATABASE_URL=postgres://dispatcher@db/dispatcher pnpm admin import-state backup.ndjson
  gunzip -c backup.ndjson.gz | pnpm admin import-state - --yes`,
  )
  .action(async (file: string, _options: unknown, command: Command) => {
    const { yes, output } = command.optsWithGlobals<GlobalOptions & { readonly yes?: true }>();
    if (yes !== true && (file === "-" || !process.stdin.isTTY)) {
      const fault = "error: there is no terminal to ask whether the old servers are stopped: if they are, add --yes";
      command.error(fault);
    }
    const signal = stopSignal();
    process.exitCode = await withStorage(({ config, storage }) =>
      runImportState({
        db: storage.db,
        file,
        output,
        mercyMs: config.DISPATCHER_RESTART_MERCY_MS,
        input: process.stdin,
        ask: yes === true ? null : (question) => askOnTerminal(question, signal),
        out: process.stdout,
        err: process.stderr,
        isTerminal: process.stderr.isTTY,
        signal,
      }),
    );
  });

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    const { text, exitStatus } = describeFailure(error instanceof DispatcherError ? error : fromCaller(error));
    process.stderr.write(`${text}\n`);
    process.exitCode = exitStatus;
  }
}
