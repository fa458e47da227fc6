/** The agent's command line. Nothing else in the agent touches `process`. */
import { createDispatcherClient } from "@dispatcher/client";
import { describeFailure } from "@dispatcher/core";
import { Command, CommanderError } from "commander";
import { formatStatus, readStatus } from "./agent-status.ts";
import { runAgent } from "./agent.ts";
import { formatByteSize } from "./byte-size.ts";
import { readSettings } from "./config.ts";
import type { Sources } from "./config.ts";
import { homeAt, prepareHome } from "./home.ts";
import { joinNode } from "./join-node.ts";
import { createLog } from "./log.ts";
import { requireNodeFile } from "./node-file.ts";
import { askStatus } from "./status-socket.ts";
import { AGENT_VERSION } from "./version.ts";

type Flags = Sources["flags"];

const EXIT_USAGE = 64;
/** Left to the machine itself where nobody says how much. */
const MARGIN_DEFAULT_BYTES = 1024 ** 3;
const PAGE_TIMEOUT_MS = 120_000;
/** What a shell makes of a death by each signal that stops the agent. */
const EXIT_BY_SIGNAL = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

function sourcesOf(flags: Flags): Sources {
  return { flags, env: process.env };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function join(flags: Flags): Promise<void> {
  const { url, token, name, capacity, margin, ...settings } = readSettings(
    { needed: ["home", "url", "token", "name", "capacity"], optional: ["margin"] },
    sourcesOf(flags),
  );
  const home = homeAt(settings.home);
  const marginBytes = margin ?? MARGIN_DEFAULT_BYTES;
  const node = await joinNode({ home, url, joinToken: token, name, capacityBytes: capacity, marginBytes });
  print(`Joined ${node.url} as ${node.name} (node ${node.nodeId}) of ${node.operator}.`);
  print(`Offered: ${formatByteSize(capacity)}, ${formatByteSize(marginBytes)} of it kept free.`);
  print(`Start saving with: pnpm agent run --home ${home.path}`);
}

async function run(flags: Flags): Promise<void> {
  const settings = readSettings(
    {
      needed: ["home", "concurrency", "patience", "privateOrigins", "stopAfter", "logLevel"],
      optional: ["capacity", "margin"],
    },
    sourcesOf(flags),
  );
  const home = homeAt(settings.home);
  const node = await requireNodeFile(home);
  await prepareHome(home);
  const { url, key } = node;
  // One attempt a sync: the agent has a rhythm of its own.
  const client = createDispatcherClient({ url, key, retry: { retries: 0 } });
  // A page may have the server change thousands of copies.
  const patient = createDispatcherClient({ url, key, timeoutMs: PAGE_TIMEOUT_MS });
  // Who reads the log may go away; that is no reason to stop saving files.
  process.stdout.on("error", () => {});
  const log = createLog({ level: settings.logLevel, isTerminal: process.stdout.isTTY, destination: process.stdout });
  await runAgent(
    {
      home,
      node,
      capacityBytes: settings.capacity ?? node.capacityBytes,
      marginBytes: settings.margin ?? node.marginBytes,
      concurrency: settings.concurrency,
      patienceMs: settings.patience,
      mayFetchPrivate: settings.privateOrigins === "allow",
      stopAfterMs: settings.stopAfter,
      pid: process.pid,
      log,
      sync: (input, signal) => client.node.sync.mutate(input, { signal }),
      sendPage: (page, signal) => patient.node.inventory.mutate(page, { signal }),
      random: Math.random,
    },
    stopOnSignal(),
  );
}

/** The first signal asks for an orderly stop. The second ends at once: the next run resumes by the journal. */
function stopOnSignal(): AbortSignal {
  const stop = new AbortController();
  for (const [signal, exitStatus] of Object.entries(EXIT_BY_SIGNAL)) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(exitStatus);
      stop.abort();
    });
  }
  return stop.signal;
}

/** Node 22 and 24 call the part of theirs that locks the home experimental; there is nothing a volunteer could do about it. */
function hushExperimentalWarnings(): void {
  const listeners = process.listeners("warning");
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    if (warning.name !== "ExperimentalWarning") for (const show of listeners) show(warning);
  });
}

async function status({ json, ...flags }: Flags & { readonly json?: boolean }): Promise<void> {
  const home = homeAt(readSettings({ needed: ["home"] }, sourcesOf(flags)).home);
  const found = (await askStatus(home.socket)) ?? (await readStatus(home));
  print(json === true ? JSON.stringify(found) : formatStatus(found, Date.now()));
}

/** What commander says of a wrong word, as the one line that every failure of ours is. */
function usageFault(text: string): string {
  const said = text
    .replace(/^error: /, "")
    .trim()
    .replaceAll(/\s+/g, " ");
  return `USAGE: ${said.replace(/\.?$/, ".")} Run it with --help.\n`;
}

const program = new Command("pnpm agent")
  .description("The volunteer's agent: gives disk space to a dispatcher and saves the files it is asked to.")
  .version(AGENT_VERSION)
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(usageFault(text)) })
  .addHelpText(
    "after",
    `
A volunteer needs two commands: join once, then run.

  DISPATCHER_JOIN_TOKEN=... pnpm agent join --url https://dispatcher.example.org --name attic --capacity 500GB
  pnpm agent run

Every option may also be set in the environment, and there as NAME_FILE, the path of a file with the value.
Sizes: 500GB, 1.5TB, 200MB; 1 GB is 1024 MB. Times: 60s, 5m, 1h, or milliseconds.`,
  );

const HOME_HELP = "the agent's folder (DISPATCHER_AGENT_HOME; default: ./.dispatcher-agent)";

program
  .command("join")
  .description("Make this machine a node of a dispatcher. Done once for each home.")
  .option("--url <url>", "where the dispatcher listens (DISPATCHER_URL)")
  .option("--token <token>", "the join token, shown to all users of this machine (DISPATCHER_JOIN_TOKEN hides it)")
  .option("--token-file <path>", "a file with the join token (DISPATCHER_JOIN_TOKEN_FILE)")
  .option("--name <name>", "what to call this node (DISPATCHER_AGENT_NAME)")
  .option("--capacity <size>", "how much of the disk to offer (DISPATCHER_AGENT_CAPACITY)")
  .option("--margin <size>", "how much of that to keep free (DISPATCHER_AGENT_MARGIN; default: 1GB)")
  .option("--home <dir>", HOME_HELP)
  .addHelpText(
    "after",
    `
Examples:
  DISPATCHER_JOIN_TOKEN=... pnpm agent join --url https://dispatcher.example.org --name attic --capacity 500GB
  pnpm agent join --url http://127.0.0.1:8001 --token-file ./token --name second --capacity 2TB --margin 10GB --home /mnt/big/agent`,
  )
  .action(join);

program
  .command("run")
  .description("Save files until stopped. Ctrl-C finishes or gives back what is under way; a second one ends at once.")
  .option("--home <dir>", HOME_HELP)
  .option("--concurrency <n>", "files to fetch at once, 1 to 6 (DISPATCHER_AGENT_CONCURRENCY; default: 2)")
  .option("--capacity <size>", "offer so much instead of what was said at join (DISPATCHER_AGENT_CAPACITY)")
  .option("--margin <size>", "keep so much of it free (DISPATCHER_AGENT_MARGIN)")
  .option("--patience <time>", "no byte for so long is a stall (DISPATCHER_AGENT_PATIENCE; default: 60s)")
  .option(
    "--private-origins <what>",
    "refuse or allow files from private addresses, such as those of your own network (DISPATCHER_AGENT_PRIVATE_ORIGINS; default: refuse)",
  )
  .option(
    "--stop-after <time>",
    "how long a stop waits for running fetches (DISPATCHER_AGENT_STOP_AFTER; default: 10s)",
  )
  .option("--log-level <level>", "DEBUG, INFO, WARNING or ERROR (LOG_LEVEL; default: INFO)")
  .addHelpText(
    "after",
    `
Examples:
  pnpm agent run
  pnpm agent run --home /mnt/big/agent --concurrency 4
  pnpm agent run --capacity 200GB               give some space back: no new files above that`,
  )
  .action(run);

program
  .command("status")
  .description("Show what this node holds and does, whether or not its agent runs.")
  .option("--home <dir>", HOME_HELP)
  .option("--json", "as one line of JSON, for programs")
  .addHelpText("after", "\nExamples:\n  pnpm agent status\n  pnpm agent status --home /mnt/big/agent --json")
  .action(status);

hushExperimentalWarnings();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong, or shown the help that was asked for.
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    const { text, exitStatus } = describeFailure(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = exitStatus;
  }
}
