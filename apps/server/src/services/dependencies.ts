import type { VettingRule } from "@dispatcher/core";
import type { ServerConfig } from "../config.ts";
import type { Database } from "../db/database.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { Feeder } from "./feeder/feeder.ts";
import type { FeederParts } from "./feeder/feeder.ts";
import { KnownLeases } from "./sync/known-leases.ts";

/** What every use case stands on. */
export type Dependencies = {
  readonly db: Database;
  readonly config: ServerConfig;
  readonly log: Log;
  readonly vetting: VettingRule;
  /** 0 up to 1; for jitter alone, never for a decision. */
  readonly random: () => number;
  /** What may be given out; one for each process. */
  readonly feeder: Feeder;
  /** What nodes have open, as this process knows it. */
  readonly knownLeases: KnownLeases;
  /** Absent where nobody reads them: in the admin command. */
  readonly metrics?: Metrics;
};

/** All of it, from what the process has opened. */
export function assembleDependencies({
  salt,
  ...parts
}: Omit<Dependencies, "feeder" | "knownLeases"> & Pick<FeederParts, "salt">): Dependencies {
  const feeder = new Feeder(salt === undefined ? parts : { ...parts, salt });
  return { ...parts, feeder, knownLeases: new KnownLeases() };
}

/** `baseMs` up or down by at most a tenth, so that a fleet does not speak in one voice. */
export function withJitter(baseMs: number, random: () => number): number {
  return Math.round(baseMs * (0.9 + 0.2 * random()));
}
