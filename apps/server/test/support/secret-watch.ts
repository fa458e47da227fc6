/**
 * Everything that is logged, and every secret that is made meanwhile, so that a test can say that none of these is in it. The
 * log has no redaction of its own: that is a second net, and not what is tested.
 */
import { pino } from "pino";
import type { Log } from "../../src/log.ts";
import type { Services } from "../../src/services/index.ts";

export class SecretWatch {
  readonly lines: string[] = [];
  readonly log: Log = pino({ level: "debug" }, { write: (line: string) => void this.lines.push(line) });
  readonly #secrets = new Set<string>();

  /** A secret that was made elsewhere. Of a key or token, what is behind its prefix. */
  add(secret: string): void {
    this.#secrets.add(secret.replace(/^dsp_[a-z0-9]+_/, ""));
  }

  /** The same services, whose keys and tokens are known from now on. */
  watch(services: Services): Services {
    const { createJoinToken, createKey, joinNode, makeFirstAdminKey } = services;
    return Object.assign(services, {
      createJoinToken: async (...args: Parameters<typeof createJoinToken>) => {
        const made = await createJoinToken(...args);
        this.add(made.joinToken);
        return made;
      },
      createKey: async (...args: Parameters<typeof createKey>) => {
        const made = await createKey(...args);
        this.add(made.key);
        return made;
      },
      joinNode: async (...args: Parameters<typeof joinNode>) => {
        const made = await joinNode(...args);
        this.add(made.key);
        return made;
      },
      makeFirstAdminKey: async () => {
        const made = await makeFirstAdminKey();
        if (made !== null) this.add(made);
        return made;
      },
    });
  }

  /** The lines, or other texts, that hold a secret. O(their length), however many secrets there are, but for odd ones. */
  leaks(texts: readonly string[] = this.lines): readonly string[] {
    const random = [...this.#secrets].filter((secret) => /^[\w-]{43}$/.test(secret));
    const odd = [...this.#secrets].filter((secret) => !/^[\w-]{43}$/.test(secret));
    const known = new Set(random);
    return texts.filter(
      (text) =>
        odd.some((secret) => text.includes(secret)) ||
        (text.match(/[\w-]{43,}/g) ?? []).some((run) =>
          // Behind or before other letters as well.
          Array.from({ length: run.length - 42 }, (_, start) => run.slice(start, start + 43)).some((part) =>
            known.has(part),
          ),
        ),
    );
  }
}
