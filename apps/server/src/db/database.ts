/**
 * The connections to PostgreSQL: statements on their own, transactions, and what becomes of both when it goes away.
 *
 * A connection that broke is thrown away and the next call opens a new one, so calls fail at once while PostgreSQL is
 * down (DATABASE_UNAVAILABLE) and work again when it is back; nothing waits in between, and nobody is to restart us.
 *
 * Statements on their own and transactions have connections apart: postgres.js starts a statement when it is awaited,
 * not where it is written, and one that starts on a connection where a transaction has begun meanwhile becomes part of
 * it. It also keeps a page of the dashboard from waiting behind a long import.
 *
 * Through PgBouncer in transaction mode: add `?prepare=false` to DATABASE_URL (or set `max_prepared_statements` there),
 * and let it pass on the parameters we start with: `ignore_startup_parameters = statement_timeout,
 * idle_in_transaction_session_timeout`, giving the role these two with `alter role`. Nothing here is kept in a session.
 */
import { setTimeout as sleepFor } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import postgres from "postgres";
import type { Log } from "../log.ts";
import { asksForRepeat, unavailable } from "./database-fault.ts";
import { showAddress } from "./dial.ts";
import type { Address, Addresses } from "./dial.ts";
import { Link } from "./link.ts";
import type { Sql } from "./link.ts";

export type { Sql } from "./link.ts";

export type DatabaseOptions = {
  /** `postgresql://user:password@host:port/name`; several hosts by commas, of which the primary is found. */
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** Connections at most, 2 or more: a third for statements on their own, the rest for transactions. */
  readonly poolSize: number;
  readonly log: Pick<Log, "info" | "warn">;
  /** Too short fails on a slow network, too long makes callers wait for a host that is gone. */
  readonly connectTimeoutMs?: number;
  /** PostgreSQL ends what takes longer. Too short fails large imports, too long lets one bad query hold locks. */
  readonly statementTimeoutMs?: number;
  /** 0 to below 1, for the pause before a repeat. */
  readonly random?: () => number;
  readonly sleep?: (ms: number) => Promise<unknown>;
};

export type TransactionOptions = {
  /** Default: read committed. */
  readonly isolation?: "repeatable read" | "serializable";
  /** In place of the database's own; 0 for as long as it takes. */
  readonly statementTimeoutMs?: number;
};

/** A transaction is tried so often when PostgreSQL asks for a repeat: by then the crowd is a fault of ours. */
const ATTEMPTS_MAX = 8;
/** First pause before a repeat; doubles with each. Two transactions in conflict are over in a few ms. */
const REPEAT_PAUSE_MS = 5;
/** A transaction waits so long for a connection: longer than a busy second, shorter than its caller's patience. */
const CONNECTION_WAIT_MS = 10_000;
/** How long `close` lets transactions come to their end. */
const CLOSE_WITHIN_MS = 5_000;

/** No connection is opened before the first use, so this never fails for a database that is down. */
export function openDatabase(options: DatabaseOptions): Database {
  return new Database(options);
}

export class Database {
  /** For statements on their own, each its own transaction. */
  readonly sql: Sql;
  readonly #options: DatabaseOptions;
  readonly #random: () => number;
  readonly #sleep: (ms: number) => Promise<unknown>;
  readonly #statements: Statements;
  readonly #sessions: Sessions;
  #addresses: Addresses;
  /** That of the newest primary met so far: each promotion begins a new one. */
  #timeline = 0;
  #choosing: Promise<Addresses> | undefined;
  /** Before its first answer PostgreSQL is not lost: whoever asked is told by the error, and nobody twice. */
  #hasAnswered = false;
  #isDown = false;
  #closed: Promise<void> | undefined;

  /** @throws DispatcherError CONFIG_INVALID for a URL that cannot be read */
  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#sleep = options.sleep ?? sleepFor;
    this.#addresses = addressesOf(options.url);
    const statementLinks = Math.max(1, Math.floor(options.poolSize / 3));
    const sessions = Math.max(1, options.poolSize - statementLinks);
    this.#statements = new Statements((onLost) => this.#open(onLost), statementLinks);
    this.#sessions = new Sessions(
      (onLost) => this.#openPrimary(onLost),
      sessions,
      () => this.#where(),
    );
    this.sql = this.#statements.sql;
  }

  /**
   * Run `work` in one transaction and commit; when it rejects, roll back and reject with its error. `work` runs again,
   * from the start, when PostgreSQL asks for a repeat (serialization fault, deadlock), so it may touch nothing but `sql`.
   *
   * A connection that breaks is not such a case. When it breaks during the commit nobody knows whether that happened:
   * the caller gets DATABASE_UNAVAILABLE and decides, which is why what we store can be told to us twice.
   */
  async transaction<Result>(work: (sql: Sql) => Promise<Result>, options: TransactionOptions = {}): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(work, options);
      } catch (error) {
        if (attempt === ATTEMPTS_MAX || !asksForRepeat(error)) throw error;
        await this.#sleep(REPEAT_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + this.#random()));
      }
    }
  }

  /**
   * Ask something that has an answer at once, or never. The question may still be under way when this has given up.
   * @throws DispatcherError DATABASE_UNAVAILABLE, CONFIG_INVALID (login) unless PostgreSQL answers `withinMs`
   */
  async askWithin<Answer>(withinMs: number, ask: (sql: Sql) => Promise<Answer>): Promise<Answer> {
    const patience = new AbortController();
    const tooLate = sleepFor(withinMs, undefined, { signal: patience.signal }).then(() => {
      throw unavailable(this.#where(), `no answer within ${withinMs} ms`);
    });
    tooLate.catch(() => {});
    const answer = ask(this.sql);
    answer.catch(() => {});
    try {
      return await Promise.race([answer, tooLate]);
    } finally {
      patience.abort();
    }
  }

  /** @throws DispatcherError DATABASE_UNAVAILABLE, CONFIG_INVALID (login) unless PostgreSQL answers `withinMs` */
  async ping(withinMs = 2_000): Promise<void> {
    await this.askWithin(withinMs, (sql) => sql`select 1`);
  }

  /** Connections for transactions: those in use, how many wait for one, and how many there may be. */
  get sessions(): { readonly busy: number; readonly waiting: number; readonly max: number } {
    return this.#sessions.usage;
  }

  /** Let transactions end, for a few seconds, then close every connection. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#sessions.close(CLOSE_WITHIN_MS);
      await this.#statements.close(CLOSE_WITHIN_MS);
    })();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #attempt<Result>(
    work: (sql: Sql) => Promise<Result>,
    { isolation, statementTimeoutMs }: TransactionOptions,
  ): Promise<Result> {
    const link = await this.#sessions.take();
    const ownTimeoutMs = link.statementTimeoutMs;
    try {
      await link.sql.unsafe(isolation === undefined ? "begin" : `begin isolation level ${isolation}`);
      let result: Result;
      try {
        if (statementTimeoutMs !== undefined) {
          await link.sql`select set_config('statement_timeout', ${String(statementTimeoutMs)}, true)`;
          link.statementTimeoutMs = statementTimeoutMs;
        }
        result = await work(link.sql);
      } catch (error) {
        // The end of the connection ends the transaction too, and nobody may get a connection that is still in one.
        await link.sql.unsafe("rollback").catch((fault: unknown) => link.lose(fault));
        throw error;
      }
      const { command } = await link.sql.unsafe("commit");
      // PostgreSQL answers the commit of a failed transaction with a rollback, and calls it a success.
      if (command !== "COMMIT")
        throw new Error("The transaction hid the failure of one of its statements and was undone.");
      return result;
    } finally {
      link.statementTimeoutMs = ownTimeoutMs;
      this.#sessions.give(link);
    }
  }

  #open(onLost: (link: Link) => void): Link {
    const link: Link = new Link({
      url: this.#options.url,
      addresses: () => this.#addresses,
      applicationName: this.#options.applicationName,
      connectTimeoutMs: this.#options.connectTimeoutMs ?? 5_000,
      statementTimeoutMs: this.#options.statementTimeoutMs ?? 30_000,
      mustBePrimary: this.#addresses.length > 1,
      ...(this.#addresses.length > 1 ? { choose: () => this.#choose() } : {}),
      onLost: (fault, dialled) => {
        // The next connection begins with the next host; several lost at once move on by one.
        const [first, second, ...rest] = this.#addresses;
        if (this.#addresses === dialled && second !== undefined) this.#addresses = [second, ...rest, first];
        this.#noteDown(fault);
        onLost(link);
      },
      onAnswer: () => this.#noteUp(),
    });
    return link;
  }

  /** Of several hosts, standbys are met on the way: take the first that is none. */
  async #openPrimary(onLost: (link: Link) => void): Promise<Link> {
    for (let left = this.#addresses.length; ; left -= 1) {
      const link = this.#open(onLost);
      if (this.#addresses.length === 1) return link;
      try {
        await link.sql`select 1`;
        return link;
      } catch (error) {
        await link.close(0);
        if (left === 1) throw error;
      }
    }
  }

  /** All who open a connection at once ask once. */
  #choose(): Promise<Addresses> {
    this.#choosing ??= this.#findNewest().finally(() => (this.#choosing = undefined));
    return this.#choosing;
  }

  /**
   * The hosts without those that were primary once: a machine that went and came back takes writes as before, though its
   * standby was promoted meanwhile, and what it is told then is lost. The later of two primaries has the higher timeline.
   * @throws Error when no other host is left
   */
  async #findNewest(): Promise<Addresses> {
    const found = await Promise.all(
      this.#addresses.map(async (address) => ({ address, timeline: await this.#timelineOf(address) })),
    );
    this.#timeline = Math.max(this.#timeline, ...found.map(({ timeline }) => timeline ?? 0));
    const [first, ...rest] = found
      .filter(({ timeline }) => timeline === null || timeline === this.#timeline)
      .toSorted((a, b) => (b.timeline ?? 0) - (a.timeline ?? 0))
      .map(({ address }) => address);
    if (first === undefined) throw new Error("all hosts that answer were primary once, and another is by now");
    return [first, ...rest];
  }

  /** Null for a standby, or a host that does not answer. */
  async #timelineOf(address: Address): Promise<number | null> {
    const timeoutMs = this.#options.connectTimeoutMs ?? 5_000;
    const link = new Link({
      url: this.#options.url,
      addresses: () => [address],
      applicationName: `${this.#options.applicationName} looks for the primary`,
      connectTimeoutMs: timeoutMs,
      statementTimeoutMs: timeoutMs,
      mustBePrimary: true,
      onLost: () => {},
      onAnswer: () => {},
    });
    try {
      const [row] = await link.sql<[{ timeline: number }]>`
        select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer as timeline`;
      return row.timeline;
    } catch {
      return null;
    } finally {
      await link.close(0);
    }
  }

  #noteDown(fault: DispatcherError): void {
    if (this.#isDown || !this.#hasAnswered) return;
    this.#isDown = true;
    this.#options.log.warn({ event: "database.lost" }, fault.detail);
  }

  #noteUp(): void {
    this.#hasAnswered = true;
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#options.log.info({ event: "database.back" }, `PostgreSQL at ${this.#where()} answers again.`);
  }

  #where(): string {
    return this.#addresses.map(showAddress).join(", ");
  }
}

type OpenLink<Opened> = (onLost: (link: Link) => void) => Opened;

function closedError(): DispatcherError {
  return new DispatcherError("DATABASE_UNAVAILABLE", "This program is closing its connections to PostgreSQL.");
}

/** The hosts of a URL as the driver reads them, so that there is one reading. Connects to nothing. */
function addressesOf(url: string): Addresses {
  try {
    const { host: hosts, port: ports, path } = postgres(url).options;
    if (path) return [{ path }];
    const [first, ...rest] = hosts.map((host, index) => ({ host, port: ports[index] ?? 5432 }));
    if (first !== undefined && [first, ...rest].every(({ port }) => port > 0 && port < 65_536)) return [first, ...rest];
  } catch {
    // The driver's message shows the URL, which has the password in it.
  }
  throw new DispatcherError(
    "CONFIG_INVALID",
    "DATABASE_URL is not of the form postgresql://user:password@host:port/name.",
  );
}

/**
 * Connections for statements on their own. One is picked where the statement is written, before it counts as pending: so
 * of those with the fewest pending the one longest not picked, and a burst spreads over all.
 */
class Statements {
  readonly sql: Sql;
  readonly #open: OpenLink<Link>;
  readonly #max: number;
  /** Longest not picked first. They connect when first used. */
  #links: readonly Link[] = [];
  #isClosed = false;

  constructor(open: OpenLink<Link>, max: number) {
    this.#open = open;
    this.#max = max;
    // One `sql` for the whole life of the database, whatever connection is behind it at the time.
    this.sql = new Proxy(this.#pick().sql, {
      apply: (_target, _self, args) => Reflect.apply(this.#pick().sql, undefined, args) as unknown,
      get: (_target, name) => Reflect.get(this.#pick().sql, name) as unknown,
    });
  }

  async close(withinMs: number): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#links.map((link) => link.close(withinMs)));
  }

  #pick(): Link {
    if (this.#isClosed) throw closedError();
    const links = this.#links.filter((link) => !link.isLost);
    while (links.length < this.#max) links.unshift(this.#open(() => {}));
    const picked = links.reduce((quietest, link) => (link.pending < quietest.pending ? link : quietest));
    this.#links = [...links.filter((link) => link !== picked), picked];
    return picked;
  }
}

type Waiter = { readonly resolve: (link: Promise<Link>) => void; readonly reject: (error: unknown) => void };

/** Connections for transactions: each has one to itself, and waits in line for it. */
class Sessions {
  readonly #open: OpenLink<Promise<Link>>;
  readonly #max: number;
  readonly #where: () => string;
  readonly #idle: Link[] = [];
  readonly #taken = new Set<Link>();
  readonly #line: Waiter[] = [];
  /** Those taken, and those about to be. */
  #takenCount = 0;
  #whenAllGiven: (() => void) | undefined;
  #isClosed = false;

  constructor(open: OpenLink<Promise<Link>>, max: number, where: () => string) {
    this.#open = open;
    this.#max = max;
    this.#where = where;
  }

  get usage(): { readonly busy: number; readonly waiting: number; readonly max: number } {
    return { busy: this.#takenCount, waiting: this.#line.length, max: this.#max };
  }

  async take(): Promise<Link> {
    if (this.#isClosed) throw closedError();
    if (this.#takenCount < this.#max) return this.#takeOne();
    const { promise, resolve, reject } = Promise.withResolvers<Link>();
    const waiter: Waiter = { resolve, reject };
    this.#line.push(waiter);
    const timer = setTimeout(() => {
      const place = this.#line.indexOf(waiter);
      if (place !== -1) this.#line.splice(place, 1);
      const busy = `all ${this.#max} connections for transactions were busy for ${CONNECTION_WAIT_MS / 1000} s`;
      reject(unavailable(this.#where(), busy));
    }, CONNECTION_WAIT_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  give(link: Link): void {
    this.#taken.delete(link);
    if (!link.isLost) this.#idle.push(link);
    this.#passOn();
  }

  async close(withinMs: number): Promise<void> {
    this.#isClosed = true;
    for (const waiter of this.#line.splice(0)) waiter.reject(closedError());
    if (this.#takenCount > 0) {
      const patience = new AbortController();
      const allGiven = new Promise<void>((resolve) => (this.#whenAllGiven = resolve));
      await Promise.race([allGiven, sleepFor(withinMs, undefined, { signal: patience.signal }).catch(() => {})]);
      patience.abort();
    }
    await Promise.all([...this.#idle, ...this.#taken].map((link) => link.close(0)));
  }

  async #takeOne(): Promise<Link> {
    this.#takenCount += 1;
    try {
      const link = this.#idle.pop() ?? (await this.#open((lost) => this.#forget(lost)));
      this.#taken.add(link);
      return link;
    } catch (error) {
      this.#passOn();
      throw error;
    }
  }

  /** One place is free again: the next in line may have it. */
  #passOn(): void {
    this.#takenCount -= 1;
    const next = this.#line.shift();
    if (next !== undefined) next.resolve(this.#takeOne());
    if (this.#takenCount === 0) this.#whenAllGiven?.();
  }

  #forget(lost: Link): void {
    const place = this.#idle.indexOf(lost);
    if (place !== -1) this.#idle.splice(place, 1);
  }
}
