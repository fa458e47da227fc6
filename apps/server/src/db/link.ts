/**
 * One connection to PostgreSQL: a postgres.js client that may open a single socket and is thrown away when that breaks.
 *
 * postgres.js reconnects by itself, and cannot do it safely: bytes and statements of the old session may stay with the
 * connection object and block its next one for good; a statement of a broken transaction may run, and commit, in the
 * session that follows; its own rollback may write to the socket that is gone, which ends the process; a host that
 * accepts and hangs up is asked again without end or pause. A client that never connects twice meets none of these.
 *
 * Nor does it get a statement before the one before has ended: of two that it has at once, one that fails while it is
 * being encoded is taken for the other, waits for ever, and the answers that follow go to the wrong callers.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { DispatcherError } from "@dispatcher/core";
import postgres from "postgres";
import { ARRAY_OID, arrayTypes } from "./array-types.ts";
import { toDatabaseFault, unavailable } from "./database-fault.ts";
import { dial, showAddress } from "./dial.ts";
import type { Addresses } from "./dial.ts";

/**
 * What statements are written with: a template whose values are bound, never pasted. Rows carry `bigint` as a number (a
 * value past 2^53 - 1 is an error, never rounded), `timestamptz` as ms since the Unix epoch, `numeric` as text, `bytea`
 * as Buffer, `json` parsed; parameters are taken in the same forms.
 *
 * PostgreSQL keeps microseconds: a time that was read is at most 1 ms below the stored one, so compare with < and >.
 */
export type Sql = postgres.ISql;

export type LinkOptions = {
  readonly url: string;
  /** Where to connect, the first that accepts; asked when that happens. */
  readonly addresses: () => Addresses;
  /** Of several, those to dial now, in a better order; without it, all of them as they stand. */
  readonly choose?: () => Promise<Addresses>;
  readonly applicationName: string;
  readonly connectTimeoutMs: number;
  /** PostgreSQL ends a statement that takes longer. */
  readonly statementTimeoutMs: number;
  /** With several hosts, one that is a standby will not do. */
  readonly mustBePrimary: boolean;
  /** Called once, when the connection is of no further use and nobody closed it; with what it had dialled, if it had. */
  readonly onLost: (fault: DispatcherError, dialled: Addresses | null) => void;
  /** Called whenever a statement succeeded. */
  readonly onAnswer: () => void;
};

/**
 * PostgreSQL ends a slow statement itself, after `statementTimeoutMs`. When not even that is heard for as long again, or
 * for this long, the other side is gone without a word. Shorter takes a slow network for a dead one; longer makes callers
 * wait.
 */
const ANSWER_GRACE_MAX_MS = 5_000;

/** A transaction whose program stopped in the middle would hold its locks for ever. */
const IDLE_IN_TRANSACTION_MS = 60_000;

/** @throws RangeError beyond the numbers that JavaScript holds exactly */
function exactNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`The database holds ${text}, which is past 2^53 - 1.`);
  return value;
}

function parseTimeMs(text: string): number {
  const timeMs = Date.parse(text);
  if (Number.isNaN(timeMs))
    throw new RangeError(`The database holds the time ${text}, which is no point in time here.`);
  return timeMs;
}

const BIGINT = { to: 20, from: [20], parse: exactNumber, serialize: String };
const TIMESTAMPTZ = {
  to: 1184,
  from: [1184],
  parse: parseTimeMs,
  serialize: (time: unknown) =>
    typeof time === "number" || time instanceof Date ? new Date(time).toISOString() : String(time),
};
const TYPES = {
  bigint: BIGINT,
  timestamptz: TIMESTAMPTZ,
  ...arrayTypes({
    bigint: BIGINT,
    timestamptz: TIMESTAMPTZ,
    boolean: { parse: (text) => text === "t", serialize: (value) => (value === true ? "t" : "f") },
    bytea: {
      parse: (text) => Buffer.from(text.slice(2), "hex"),
      serialize: (value) =>
        value instanceof Uint8Array ? String.raw`\x${Buffer.from(value).toString("hex")}` : String(value),
    },
    json: { parse: JSON.parse, serialize: JSON.stringify },
  }),
};

/** The driver takes an array for a value of its first element's type where it thinks it knows that one. */
function withArrayType(client: postgres.Sql, value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  const sample: unknown = value.find((item) => item !== null);
  if (typeof sample === "boolean") return client.typed(value, ARRAY_OID.boolean);
  if (typeof sample === "bigint") return client.typed(value, ARRAY_OID.bigint);
  if (sample instanceof Uint8Array) return client.typed(value, ARRAY_OID.bytea);
  if (sample instanceof Date) return client.typed(value, ARRAY_OID.timestamptz);
  return value;
}

const UNSUPPORTED = Object.fromEntries(
  ["cursor", "execute", "forEach", "readable", "writable"].map((name) => [
    name,
    () => {
      throw new Error(`Statements are awaited here; ${name}() is not supported.`);
    },
  ]),
);

type StartStatement = (onValue: (value: unknown) => unknown) => Promise<unknown>;

export class Link {
  /** For statements on this connection. Their connection faults arrive as DATABASE_UNAVAILABLE. */
  readonly sql: Sql;
  /** Statements that run or wait their turn. */
  pending = 0;
  /** What PostgreSQL was told; 0 for as long as it takes. A transaction may have one of its own. */
  statementTimeoutMs: number;

  readonly #client: postgres.Sql;
  readonly #options: LinkOptions;
  #socket: Awaited<ReturnType<typeof dial>> | null = null;
  #dialled: Addresses | null = null;
  #fault: DispatcherError | null = null;
  #isClosing = false;
  /** Resolves when the last statement so far has ended. */
  #line: Promise<void> = Promise.resolve();

  constructor(options: LinkOptions) {
    this.#options = options;
    this.statementTimeoutMs = options.statementTimeoutMs;
    // The driver reads this option, and its types do not know it.
    const untyped = { socket: () => this.#connect() };
    this.#client = postgres(options.url, {
      ...untyped,
      // With several hosts the driver would hold faults back to try the next; here `dial` tries them all.
      ...options.addresses()[0],
      max: 1,
      idle_timeout: 0,
      max_lifetime: null,
      connect_timeout: options.connectTimeoutMs / 1000,
      keep_alive: 10,
      fetch_types: false,
      types: TYPES,
      onnotice: () => {},
      onclose: () => this.lose(new Error("the connection was closed")),
      onparameter: (name, value) => {
        if (name === "in_hot_standby" && value === "on" && options.mustBePrimary)
          this.lose(new Error("it is a standby"));
      },
      connection: {
        application_name: options.applicationName,
        TimeZone: "UTC",
        statement_timeout: options.statementTimeoutMs,
        idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      },
    });
    this.sql = this.#guardedSql(this.#client);
  }

  get isLost(): boolean {
    return this.#fault !== null || this.#isClosing;
  }

  /** Give the connection up: what runs on it fails now, and nothing runs on it again. */
  lose(cause: unknown): void {
    if (this.isLost) return;
    this.#fault = unavailable(this.#where(), cause);
    // Rejects what waits in the client; the socket has to go even when the other side no longer answers, and before
    // another statement is sent through it.
    void this.#client.end({ timeout: 0 });
    this.#socket?.destroy();
    this.#options.onLost(this.#fault, this.#dialled);
  }

  /** Close it once its statements have ended, `withinMs` at most. */
  async close(withinMs: number): Promise<void> {
    if (this.isLost) return;
    this.#isClosing = true;
    const patience = new AbortController();
    await Promise.race([this.#line, sleep(withinMs, undefined, { signal: patience.signal }).catch(() => {})]);
    patience.abort();
    await this.#client.end({ timeout: 0 });
    this.#socket?.destroy();
  }

  async #connect(): Promise<unknown> {
    if (this.#fault !== null) throw this.#fault;
    if (this.#socket !== null) {
      this.lose(new Error("the connection was closed while it was being set up"));
      throw this.#fault;
    }
    try {
      this.#dialled = this.#options.addresses();
      const chosen = (await this.#options.choose?.()) ?? this.#dialled;
      this.#socket = await dial(chosen, this.#options.connectTimeoutMs);
    } catch (error) {
      this.lose(error);
      throw this.#fault;
    }
    return this.#socket;
  }

  #where(): string {
    return this.#options.addresses().map(showAddress).join(", ");
  }

  /** The client as callers see it: what it starts is guarded. */
  #guardedSql(client: postgres.Sql): Sql {
    return new Proxy(client, {
      apply: (_target, _self, [first, ...rest]: readonly unknown[]) => {
        const isTemplate = Array.isArray(first) && "raw" in first;
        const args = isTemplate ? rest.map((value) => withArrayType(client, value)) : rest;
        return this.#guard(Reflect.apply(client, undefined, [first, ...args]));
      },
      get: (_target, name) => {
        const member: unknown = Reflect.get(client, name);
        if (name !== "unsafe" || typeof member !== "function") return member;
        return (...args: readonly unknown[]) => this.#guard(Reflect.apply(member, undefined, args));
      },
    });
  }

  /** Give a statement its deadline and its faults their code, from the moment somebody waits for it. */
  #guard(made: unknown): unknown {
    // Helpers such as `sql(columns)` are made by the same call and are no statements.
    if (!(made instanceof Promise)) return made;
    const start: Promise<unknown>["then"] = made.then.bind(made);
    let outcome: Promise<unknown> | undefined;
    const run = (): Promise<unknown> => {
      outcome ??= this.#run(start);
      return outcome;
    };
    // The driver's own ways to start a statement would pass by the line, the deadline and the faults.
    return Object.assign(made, {
      // oxlint-disable-next-line unicorn/no-thenable -- it is a promise, and waiting for it starts it
      then: (...handlers: Parameters<Promise<unknown>["then"]>) => run().then(...handlers),
      catch: (...handlers: Parameters<Promise<unknown>["catch"]>) => run().catch(...handlers),
      finally: (...handlers: Parameters<Promise<unknown>["finally"]>) => run().finally(...handlers),
      ...UNSUPPORTED,
    });
  }

  /** One after the other, in the order in which they were awaited. */
  async #run(start: StartStatement): Promise<unknown> {
    const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
    const turn = this.#line;
    this.#line = isOver;
    this.pending += 1;
    try {
      await turn;
      return await this.#execute(start);
    } finally {
      this.pending -= 1;
      end();
    }
  }

  async #execute(start: StartStatement): Promise<unknown> {
    if (this.#fault !== null) throw this.#fault;
    const timeoutMs = this.statementTimeoutMs;
    const patienceMs = timeoutMs + Math.min(timeoutMs, ANSWER_GRACE_MAX_MS);
    const giveUp = (): void => this.lose(new Error(`no answer for ${patienceMs} ms`));
    const timer = timeoutMs === 0 ? undefined : setTimeout(giveUp, patienceMs);
    try {
      const rows = await start((value) => value);
      this.#options.onAnswer();
      return rows;
    } catch (error) {
      // It failed on our side of the connection, and PostgreSQL's answer is still to come: let it come.
      if (!(error instanceof postgres.PostgresError) && !this.isLost) await this.#client.unsafe("").catch(() => {});
      throw this.#faultOf(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #faultOf(error: unknown): unknown {
    if (!(error instanceof postgres.PostgresError)) return this.#fault ?? toDatabaseFault(error, this.#where());
    // The session ends with a fatal error; a host that became read-only is the wrong one. Do not wait to be told.
    if (error.severity === "FATAL" || error.code === "25006") this.lose(error);
    return toDatabaseFault(error, this.#where());
  }
}
