import { readFileSync, statSync } from "node:fs";
import { DispatcherError } from "@dispatcher/core";
import { z } from "zod";
import type { Log } from "../../log.ts";
import { MockFile } from "../../wire/mock.ts";

export const BUILT_IN_PATH: string = `${import.meta.dirname}/scenarios.json`;

/**
 * A file of scenarios, read anew when it has changed. It is looked at with each use, which costs a look at its entry in the
 * file system: no timer runs, and who has saved the file sees the change with the next call.
 */
export class ScenarioFile {
  readonly #path: string;
  readonly #log: Log;
  #scenarios: MockFile;
  #version: string;

  /** @throws DispatcherError CONFIG_INVALID that names every fault of the file with its place */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    this.#version = this.#readVersion();
    this.#scenarios = readScenarios(path);
  }

  /** Those of the file as it is now; where that is faulty, as it was when it was last right, and the log says why. */
  current(): MockFile {
    const version = this.#readVersion();
    if (version === this.#version) return this.#scenarios;
    // Told once: a fault stays until the file is saved again.
    this.#version = version;
    try {
      this.#scenarios = readScenarios(this.#path);
      this.#log.info({ event: "mock.reloaded", path: this.#path }, "the scenarios of mock mode have changed");
    } catch (error) {
      if (!(error instanceof DispatcherError)) throw error;
      this.#log.warn({ event: "mock.kept", path: this.#path }, `mock mode goes on as before: ${error.detail}`);
    }
    return this.#scenarios;
  }

  /** Another one whenever the file may have changed; empty while there is none. */
  #readVersion(): string {
    const entry = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    return entry === undefined ? "" : `${entry.ino} ${entry.size} ${entry.mtimeNs}`;
  }
}

/** @throws DispatcherError CONFIG_INVALID */
function readScenarios(path: string): MockFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
    throw new DispatcherError("CONFIG_INVALID", `MOCK_DATA_PATH=${path} cannot be read (${code}).`, { cause });
  }
  return parseScenarios(text, path);
}

/** @throws DispatcherError CONFIG_INVALID: where the text ends to be JSON, or each place that is not as it should be */
export function parseScenarios(text: string, path: string): MockFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    const place = cause instanceof Error ? cause.message : String(cause);
    throw new DispatcherError("CONFIG_INVALID", `MOCK_DATA_PATH=${path} is no JSON: ${place}.`, { cause });
  }
  const parsed = MockFile.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${z.core.toDotPath(issue.path) || "the whole"}: ${issue.message}`);
  throw new DispatcherError(
    "CONFIG_INVALID",
    `MOCK_DATA_PATH=${path} has ${faults.length} fault(s): ${faults.join("; ")}.`,
  );
}
