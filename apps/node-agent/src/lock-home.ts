/**
 * Two agents in one home would write the same partial files. The lock is one the kernel holds for the process and drops
 * with it, by kill -9 too, so that nothing stale is ever left to judge: SQLite's file lock, which is the one such lock that
 * Node offers. The file stays empty. (A socket or a pid file has to be stolen from a dead owner, and two that start at once
 * can both think they did.)
 */
import type { DatabaseSync } from "node:sqlite";
import { DispatcherError } from "@dispatcher/core";
import type { Home } from "./home.ts";

const SQLITE_BUSY = 5;

export type HomeLock = { readonly release: () => void };

/** @throws DispatcherError HOME_IN_USE, HOME_UNUSABLE */
export async function lockHome(home: Home): Promise<HomeLock> {
  // Here and not above: Node 22 and 24 warn of it where it is loaded, and `status` has no use for it.
  const sqlite = await import("node:sqlite");
  let database: DatabaseSync | null = null;
  try {
    database = new sqlite.DatabaseSync(home.lockFile);
    database.exec("begin exclusive");
    const held = database;
    return { release: () => held.close() };
  } catch (cause) {
    database?.close();
    if (cause instanceof Error && "errcode" in cause && cause.errcode === SQLITE_BUSY) {
      throw new DispatcherError("HOME_IN_USE", `Another agent runs in ${home.path}.`, { cause });
    }
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DispatcherError("HOME_UNUSABLE", `The folder ${home.path} cannot be locked (${reason}).`, { cause });
  }
}
