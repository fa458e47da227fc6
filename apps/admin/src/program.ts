import { Command, Option } from "commander";
import { OUTPUT_FORMATS } from "./answer.ts";
import { addAssetActs } from "./commands/asset-acts.ts";
import { addAssets } from "./commands/assets.ts";
import { addCompletion } from "./commands/completion.ts";
import { addDatasets } from "./commands/datasets.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEvents } from "./commands/events.ts";
import { addExport } from "./commands/export.ts";
import { addImportState } from "./commands/import-state.ts";
import { addImport } from "./commands/import.ts";
import { addKeys } from "./commands/keys.ts";
import { addNodes } from "./commands/nodes.ts";
import { addOrigins } from "./commands/origins.ts";
import { addStats } from "./commands/stats.ts";
import { addStatus } from "./commands/status.ts";
import { addTokens } from "./commands/tokens.ts";
import type { Io } from "./io.ts";
import { parseUrl } from "./options.ts";
import type { Runner } from "./session.ts";
import { VERSION } from "./version.ts";

/** All commands, in the order in which the help tells them. */
export function createProgram(run: Runner, io: Io): Command {
  const program = new Command("pnpm admin")
    .description(
      "Administer a Dispatcher: on its database, beside a running server or without one; or over the network.",
    )
    .version(VERSION)
    .addOption(new Option("-o, --output <format>", "how to answer").choices(OUTPUT_FORMATS).default("table"))
    .addOption(new Option("--url <url>", "the server to call, in place of the database").argParser(parseUrl))
    .addOption(
      new Option(
        "--key <key>",
        "with --url: an admin key; shown to all users of this machine (DISPATCHER_KEY hides it)",
      ).conflicts("keyFile"),
    )
    .option("--key-file <path>", "with --url: a file with the key (DISPATCHER_KEY_FILE)")
    .addHelpText(
      "after",
      `
Without --url the database is the one the server uses: DATABASE_URL, or the server's own below DISPATCHER_DATA_DIR
(./.dispatcher). With --url and a key the same commands go through a server; export, import-state are for the database alone.

Examples:
  pnpm admin token create --operator "Library of Alexandria"     let somebody take part
  pnpm admin import datapackage.json --base-url https://data.example.org/files/
  pnpm admin assets --incomplete --limit 20
  pnpm admin status --url https://dispatcher.example.org --key-file ~/.dispatcher-key
  pnpm admin doctor
  pnpm admin export --out backup.ndjson

Every command has examples of its own: pnpm admin COMMAND --help`,
    );
  addStatus(program, run);
  addDoctor(program, run);
  addImport(program, run);
  addAssets(program, run);
  addAssetActs(program, run, io);
  addDatasets(program, run);
  addNodes(program, run, io);
  addOrigins(program, run);
  addKeys(program, run);
  addTokens(program, run);
  addEvents(program, run);
  addStats(program, run);
  addExport(program, run);
  addImportState(program, run, io);
  addCompletion(program, run);
  return program;
}
