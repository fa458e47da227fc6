import { setTimeout as delay } from "node:timers/promises";
import type { KeyId } from "@dispatcher/core";
import { recordKeyUse } from "../db/queries/keys.ts";
import type { Dependencies } from "./dependencies.ts";

/** Uses of so long are one statement. Longer: more is forgotten by a server that is killed; nothing follows from it. */
const GATHER_MS = 2_000;

/**
 * Puts down when keys were last used, in groups and behind the calls: nobody waits for it, and a use that is lost costs
 * nothing. With what is due only once a minute a key, that is one statement in some seconds at most, however many calls come.
 */
export class KeyUse {
  readonly #dependencies: Pick<Dependencies, "db" | "log">;
  readonly #gatherMs: number;
  #gathered = new Set<KeyId>();

  constructor(dependencies: Pick<Dependencies, "db" | "log">, gatherMs = GATHER_MS) {
    this.#dependencies = dependencies;
    this.#gatherMs = gatherMs;
  }

  note(id: KeyId): void {
    this.#gathered.add(id);
    if (this.#gathered.size === 1) void this.#writeSoon();
  }

  async #writeSoon(): Promise<void> {
    const { db, log } = this.#dependencies;
    await delay(this.#gatherMs, undefined, { ref: false });
    const ids = [...this.#gathered];
    this.#gathered = new Set();
    try {
      await recordKeyUse(db.sql, ids);
    } catch (error) {
      log.debug({ event: "key.use-lost", err: error }, "the last use of some keys was not put down");
    }
  }
}
