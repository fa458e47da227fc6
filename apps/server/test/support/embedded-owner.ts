/**
 * A program that uses the embedded PostgreSQL of a data directory, for tests that stop, kill and multiply it.
 * Prints one line of JSON when it is ready or has failed, and leaves in order when its input ends.
 */
import { finished } from "node:stream/promises";
import { DispatcherError } from "@dispatcher/core";
import { pino } from "pino";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import type { RootMode } from "../../src/db/embedded-programs.ts";

export type OwnerReport =
  | { readonly url: string; readonly adopted: boolean }
  | { readonly code: string; readonly detail: string };

const [, , dataDir = "", rootMode] = process.argv;
const say = (report: OwnerReport): void => void process.stdout.write(`${JSON.stringify(report)}\n`);

try {
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: pino(pino.destination({ dest: 2, sync: true })),
    ...(isRootMode(rootMode) ? { rootMode } : {}),
  });
  say({ url: postgres.url, adopted: postgres.adopted });
  await finished(process.stdin.resume(), { writable: false });
  await postgres.stop();
} catch (error) {
  if (!(error instanceof DispatcherError)) throw error;
  say({ code: error.code, detail: error.detail });
}

function isRootMode(value: string | undefined): value is RootMode {
  return value === "namespace" || value === "user";
}
