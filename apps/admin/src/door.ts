/** Which way in: the database that the settings name, or a server over the network. */
import { readFileSync } from "node:fs";
import { createDispatcherClient } from "@dispatcher/client";
import type { DispatcherClient } from "@dispatcher/client";
import { DispatcherError } from "@dispatcher/core";
import { createLog, openStorage, loadConfig } from "@dispatcher/server/local";
import type { Log, ServerConfig, Storage } from "@dispatcher/server/local";
import type { Io } from "./io.ts";
import { createLocalClient } from "./local-client.ts";

export type DoorOptions = {
  readonly url?: string | undefined;
  readonly key?: string | undefined;
  readonly keyFile?: string | undefined;
};

/** What there is only where the database is. */
export type LocalDoor = { readonly config: ServerConfig; readonly storage: Storage };

export type Door = {
  readonly client: DispatcherClient;
  /** Null over the network. */
  readonly local: LocalDoor | null;
  readonly close: () => Promise<void>;
};

/** @throws DispatcherError CONFIG_INVALID, FILE_UNREADABLE, and whatever `openStorage` throws */
export async function openDoor(options: DoorOptions, io: Io): Promise<Door> {
  if (options.url !== undefined) {
    const client = createDispatcherClient({ url: options.url, ...keyOf(options, io) });
    return { client, local: null, close: () => Promise.resolve() };
  }
  const config = loadConfig(io.env, io.folder).config;
  const log = createCommandLog(config, io);
  const storage = await openStorage(config, log, "dispatcher admin");
  return {
    client: createLocalClient(config, storage, log),
    local: { config, storage },
    close: () => storage.close(),
  };
}

/** The log of a short command is its warnings, on standard error. */
export function createCommandLog(config: Pick<ServerConfig, "LOG_LEVEL">, { stderr }: Io): Log {
  return createLog({
    level: config.LOG_LEVEL === "DEBUG" ? "DEBUG" : "WARNING",
    isTerminal: stderr.isTTY === true,
    destination: stderr,
  });
}

/** The key to call with, wherever it stands; without one, only what anyone may call. No error ever shows it. */
export function keyOf({ key, keyFile }: DoorOptions, { env }: Io): { readonly key?: string } {
  const [name, value] = [
    ["--key", key],
    ["--key-file", keyFile === undefined ? undefined : readKeyFile("--key-file", keyFile)],
    ["DISPATCHER_KEY", env["DISPATCHER_KEY"] === "" ? undefined : env["DISPATCHER_KEY"]],
    [
      "DISPATCHER_KEY_FILE",
      env["DISPATCHER_KEY_FILE"] ? readKeyFile("DISPATCHER_KEY_FILE", env["DISPATCHER_KEY_FILE"]) : undefined,
    ],
  ].find(([, given]) => given !== undefined) ?? ["", undefined];
  if (value === undefined) return {};
  if (!/^[\x21-\x7E]+$/.test(value)) {
    throw new DispatcherError("CONFIG_INVALID", `${name} holds no key: it has to be one word of plain characters.`);
  }
  return { key: value };
}

function readKeyFile(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
    throw new DispatcherError("FILE_UNREADABLE", `${path} (${name}) cannot be read (${code}).`, { cause });
  }
}
