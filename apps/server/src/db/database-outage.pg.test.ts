/** What callers see while PostgreSQL stops, starts, breaks off, freezes or is not there. */
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findFreePort, startOwnPostgres } from "../../test/support/own-postgres.ts";
import type { OwnPostgres } from "../../test/support/own-postgres.ts";
import { silentLog } from "../../test/support/test-database.ts";
import { openDatabase } from "./database.ts";
import type { DatabaseOptions } from "./database.ts";
import { migrate } from "./migrate.ts";

let server: OwnPostgres;
beforeAll(async () => {
  server = await startOwnPostgres();
}, 30_000);
afterAll(() => server[Symbol.asyncDispose]());

const UNAVAILABLE = { code: "DATABASE_UNAVAILABLE", isRetryable: true };

function optionsFor(url: string): DatabaseOptions {
  return { url, applicationName: "outage test", poolSize: 6, log: silentLog };
}

/** Wait until `isTrue` answers true, looking again and again. */
async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await sleep(10);
}

test.for(["immediate", "fast"] as const)(
  "calls fail at once while PostgreSQL is away after a stop (%s), and work when it is back",
  async (mode) => {
    const logged: string[] = [];
    const note = (fields: { readonly event?: string }): void => void logged.push(fields.event ?? "");
    await using db = openDatabase({ ...optionsFor(server.url), log: { info: note, warn: note } });
    await db.sql`create table if not exists counts (worker int primary key, value int not null)`;
    await db.sql`truncate counts`;
    const stop = new AbortController();
    const faults: unknown[] = [];
    const slowestMs: number[] = [];
    const acknowledged = Array.from({ length: 20 }, () => 0);
    const loops = acknowledged.map(async (_, worker) => {
      for (let turn = 0; !stop.signal.aborted; turn += 1) {
        const begunAt = performance.now();
        try {
          if (turn % 2 === 0) await db.sql`select ${worker}::int`;
          else {
            await db.transaction(async (sql) => {
              await sql`insert into counts values (${worker}, 1) on conflict (worker) do update set value = counts.value + 1`;
              await sql`select 1`;
            });
            acknowledged[worker] = (acknowledged[worker] ?? 0) + 1;
          }
        } catch (error) {
          faults.push(error);
          await sleep(20);
        }
        slowestMs.push(performance.now() - begunAt);
      }
    });
    const workersDone = async (least: number): Promise<boolean> =>
      acknowledged.filter((count) => count >= least).length === 20;
    await until(() => workersDone(2));
    await server.stop(mode);
    await until(async () => faults.length > 200);
    await server.start();
    const before = Math.max(...acknowledged);
    await until(() => workersDone(before + 2));
    stop.abort();
    await Promise.all(loops);
    for (const fault of faults) expect(fault).toMatchObject(UNAVAILABLE);
    expect(Math.max(...slowestMs)).toBeLessThan(5_000);
    // What was acknowledged is there; a commit whose answer was lost may be there too.
    const rows = await db.sql<{ worker: number; value: number }[]>`select worker, value from counts`;
    for (const { worker, value } of rows) {
      expect(value).toBeGreaterThanOrEqual(acknowledged[worker] ?? 0);
      expect(value).toBeLessThanOrEqual((acknowledged[worker] ?? 0) + 1);
    }
    expect(logged[0]).toBe("database.lost");
    expect(logged.at(-1)).toBe("database.back");
  },
);

test("a start without PostgreSQL is told plainly, and works after it has come", async () => {
  await server.stop("fast");
  const logged: string[] = [];
  const note = (fields: { readonly event?: string }): void => void logged.push(fields.event ?? "");
  await using db = openDatabase({ ...optionsFor(server.url), log: { info: note, warn: note } });
  await expect(migrate(db, { log: silentLog })).rejects.toMatchObject({
    ...UNAVAILABLE,
    message: `PostgreSQL at 127.0.0.1:${server.port} is not available: connect ECONNREFUSED 127.0.0.1:${server.port}. Check that PostgreSQL runs and that DATABASE_URL points to it; the call may be repeated as it was.`,
  });
  await server.start();
  await db.ping();
  // What was never there is not lost: the error has told it.
  expect(logged).toEqual([]);
  await server.stop("fast");
  await expect(db.ping()).rejects.toMatchObject(UNAVAILABLE);
  expect(logged).toEqual(["database.lost"]);
  await server.start();
});

test("when its session is ended, a transaction writes nothing more, whatever its work does about it", async () => {
  await using db = openDatabase(optionsFor(server.url));
  await db.sql`create table if not exists marks (mark int)`;
  await db.sql`truncate marks`;
  const faults: unknown[] = [];
  const stubborn = db.transaction(async (sql) => {
    await sql`insert into marks values (1)`;
    const [session] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
    await db.sql`select pg_terminate_backend(${session?.pid ?? 0})`;
    const attempts = await Promise.allSettled([2, 3, 4].map((mark) => sql`insert into marks values (${mark})`));
    for (const attempt of attempts) faults.push(attempt.status === "rejected" ? attempt.reason : attempt);
    await sql`insert into marks values (5)`.catch((error: unknown) => faults.push(error));
  });
  await expect(stubborn).rejects.toMatchObject(UNAVAILABLE);
  expect(faults).toHaveLength(4);
  for (const fault of faults) expect(fault).toMatchObject(UNAVAILABLE);
  expect(await db.sql`select mark from marks`).toEqual([]);
  expect(await db.transaction(async (sql) => (await sql`insert into marks values (6) returning mark`)[0])).toEqual({
    mark: 6,
  });
});

test("a connection that breaks during the commit is told, and the work is not repeated", async () => {
  await using db = openDatabase(optionsFor(server.url));
  await db.sql.unsafe(`
    create table if not exists slow (pid int);
    create or replace function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$;
    create or replace trigger wait after insert on slow for each row execute function wait();
    drop trigger wait on slow;
    create constraint trigger wait after insert on slow deferrable initially deferred for each row execute function wait()`);
  let runs = 0;
  const pending = db.transaction(async (sql) => {
    runs += 1;
    await sql`insert into slow values (pg_backend_pid())`;
  });
  const ended = until(async () => {
    const found = await db.sql`
      select pg_terminate_backend(pid) from pg_stat_activity where query = 'commit' and wait_event = 'PgSleep'`;
    return found.length > 0;
  });
  await expect(pending).rejects.toMatchObject(UNAVAILABLE);
  await ended;
  expect(runs).toBe(1);
  expect(await db.sql`select pid from slow`).toEqual([]);
});

test("a session that freezes is given up when its statement is overdue, and the others go on", async () => {
  await using db = openDatabase({ ...optionsFor(server.url), statementTimeoutMs: 300 });
  let frozen = 0;
  const overdue = db.transaction(async (sql) => {
    const [session] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
    frozen = session?.pid ?? 0;
    process.kill(frozen, "SIGSTOP");
    await sql`select 1`;
  });
  try {
    await expect(overdue).rejects.toMatchObject({
      ...UNAVAILABLE,
      detail: expect.stringContaining("no answer for 600 ms"),
    });
    await db.ping();
  } finally {
    process.kill(frozen, "SIGCONT");
  }
});

type Impostor = AsyncDisposable & { readonly url: string; readonly connections: () => number };

/** Something at the address that is no PostgreSQL. */
async function startImpostor(greet: (socket: Socket) => void): Promise<Impostor> {
  let count = 0;
  const open = new Set<Socket>();
  const impostor = createServer((socket) => {
    count += 1;
    open.add(socket);
    socket.on("error", () => {});
    greet(socket);
  });
  impostor.listen(0, "127.0.0.1");
  await once(impostor, "listening");
  const { port } = impostor.address() as AddressInfo;
  return {
    url: `postgresql://u:p@127.0.0.1:${port}/db`,
    connections: () => count,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      impostor.close();
      await once(impostor, "close");
    },
  };
}

test("a host that accepts and hangs up is asked once for each call", async () => {
  await using impostor = await startImpostor((socket) => socket.end());
  await using db = openDatabase(optionsFor(impostor.url));
  await expect(db.sql`select 1`).rejects.toMatchObject(UNAVAILABLE);
  await expect(db.transaction(async (sql) => sql`select 1`)).rejects.toMatchObject(UNAVAILABLE);
  expect(impostor.connections()).toBe(2);
});

test("a host that accepts and stays silent is given up after the connect timeout", async () => {
  await using impostor = await startImpostor(() => {});
  await using db = openDatabase({ ...optionsFor(impostor.url), connectTimeoutMs: 200 });
  const begunAt = performance.now();
  await expect(db.sql`select 1`).rejects.toMatchObject(UNAVAILABLE);
  await expect(db.transaction(async (sql) => sql`select 1`)).rejects.toMatchObject(UNAVAILABLE);
  await expect(db.ping(100)).rejects.toMatchObject({
    ...UNAVAILABLE,
    detail: expect.stringContaining("within 100 ms"),
  });
  expect(performance.now() - begunAt).toBeLessThan(3_000);
});

function withHosts(url: string, ports: readonly number[]): string {
  return url.replace(/@[^/]+/, `@${ports.map((port) => `127.0.0.1:${port}`).join(",")}`);
}

test("of several hosts one that is down is passed over, and all being down is told", async () => {
  const nobody = await findFreePort();
  await using one = openDatabase(optionsFor(withHosts(server.url, [nobody, server.port])));
  await one.ping();
  await one.transaction(async (sql) => sql`select 1`);
  await using none = openDatabase(optionsFor(withHosts(server.url, [nobody, nobody])));
  await expect(none.ping()).rejects.toMatchObject(UNAVAILABLE);
  await expect(none.transaction(async (sql) => sql`select 1`)).rejects.toMatchObject(UNAVAILABLE);
});

test("of several hosts a standby is passed over", async () => {
  await server.stop("fast");
  await using standby = await server.startStandby();
  await server.start();
  await using db = openDatabase(optionsFor(withHosts(server.url, [standby.port, server.port])));
  await migrate(db, { log: silentLog });
  const portOf = `select inet_server_port() as port`;
  const ports = await Promise.all(
    Array.from({ length: 10 }, () =>
      db.transaction(async (sql) => (await sql.unsafe<{ port: number }[]>(portOf))[0]?.port),
    ),
  );
  expect(new Set(ports)).toEqual(new Set([server.port]));
  expect(await db.sql.unsafe(portOf)).toEqual([{ port: server.port }]);
});
