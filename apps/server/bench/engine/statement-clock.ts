/** Times every statement that services send, where they send it: what a cycle is made of. */
import type { Database, Sql } from "../../src/db/database.ts";

export type StatementTime = { readonly text: string; readonly calls: number; readonly ms: number };

/** A database that keeps the time of each statement, from when it is awaited until its rows are parsed. */
export type ClockedDatabase = {
  readonly db: Database;
  /** Slowest in all first. */
  times(): readonly StatementTime[];
  reset(): void;
};

/** With one call in flight the times are those of the statements; with more they include waiting for each other. */
export function clockStatements(db: Database): ClockedDatabase {
  const timeByText = new Map<string, { calls: number; ms: number }>();
  const note = (text: string, ms: number): void => {
    const time = timeByText.get(text) ?? { calls: 0, ms: 0 };
    timeByText.set(text, { calls: time.calls + 1, ms: time.ms + ms });
  };
  const clocked = (sql: Sql): Sql =>
    new Proxy(sql, {
      apply: (target, self, args: readonly unknown[]) => {
        const made: unknown = Reflect.apply(target as never, self, args);
        const [first] = args;
        if (!(made instanceof Promise) || !Array.isArray(first)) return made;
        return withClock(made, (ms) => note(nameOf(first), ms));
      },
      get: (target, name) => Reflect.get(target, name) as unknown,
    });
  const clockedDb = new Proxy(db, {
    get: (target, name) => {
      if (name === "sql") return clocked(target.sql);
      if (name === "transaction") {
        return async (work: (sql: Sql) => Promise<unknown>, ...rest: never[]): Promise<unknown> => {
          let inside = 0;
          const begunAt = performance.now();
          const result = await target.transaction(
            async (sql) => {
              const workBegunAt = performance.now();
              try {
                return await work(clocked(sql));
              } finally {
                inside += performance.now() - workBegunAt;
              }
            },
            ...rest,
          );
          note("begin, commit", performance.now() - begunAt - inside);
          return result;
        };
      }
      const member: unknown = Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  return {
    db: clockedDb,
    times: () => [...timeByText].map(([text, time]) => ({ text, ...time })).toSorted((one, other) => other.ms - one.ms),
    reset: () => timeByText.clear(),
  };
}

/** A statement starts when it is awaited; one that is part of another never is. */
function withClock(made: Promise<unknown>, note: (ms: number) => void): Promise<unknown> {
  const start: Promise<unknown>["then"] = made.then.bind(made);
  return Object.assign(made, {
    // oxlint-disable-next-line unicorn/no-thenable -- it is a promise, and waiting for it starts it
    then: (...handlers: Parameters<Promise<unknown>["then"]>) => {
      const begunAt = performance.now();
      return start((rows) => {
        note(performance.now() - begunAt);
        return rows;
      }).then(...handlers);
    },
  });
}

const SHOWN = 84;

function nameOf(parts: readonly string[]): string {
  const text = parts.join("?").replaceAll(/\s+/g, " ").trim();
  return text.length > SHOWN ? `${text.slice(0, SHOWN - 3)}...` : text;
}
