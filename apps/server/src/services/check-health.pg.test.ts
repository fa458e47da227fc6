import { expect, test } from "vitest";
import { startTestDispatcher } from "../../test/support/test-dispatcher.ts";
import { sweepOnce } from "../sweeps/sweep.ts";

test("a service that sweeps and gives out work is well", async () => {
  await using dispatcher = await startTestDispatcher();
  await sweepOnce(dispatcher.dependencies);
  await dispatcher.addAssets(3);
  const node = await dispatcher.join("ada");
  await node.claim(1);
  const { status, migrations, sweeps, view } = await dispatcher.services.checkHealth();
  expect({ status, migrations: migrations.status, sweeps: sweeps.status }).toEqual({
    status: "ok",
    migrations: "ok",
    sweeps: "ok",
  });
  expect(view).toEqual({ candidates: 3, queues: 1, ageMs: expect.any(Number) });
});

test("without a sweep for a minute the service is degraded", async () => {
  await using dispatcher = await startTestDispatcher();
  await dispatcher.sql`update service_state set alive_at = now() - interval '55 seconds'`;
  expect(await dispatcher.services.checkHealth()).toMatchObject({ status: "ok", sweeps: { status: "ok" } });
  await dispatcher.sql`update service_state set alive_at = now() - interval '61 seconds'`;
  expect(await dispatcher.services.checkHealth()).toMatchObject({ status: "degraded", sweeps: { status: "degraded" } });
});

test("long intervals between sweeps are no fault", async () => {
  await using dispatcher = await startTestDispatcher({ DISPATCHER_SWEEP_INTERVAL_MS: "60000" });
  await dispatcher.sql`update service_state set alive_at = now() - interval '150 seconds'`;
  expect(await dispatcher.services.checkHealth()).toMatchObject({ status: "ok" });
});

test("a database that a newer server has migrated is degraded, one that lacks a migration or all is unavailable", async () => {
  await using dispatcher = await startTestDispatcher();
  const { sql, services } = dispatcher;
  await sql`insert into schema_migrations (version, name, sha256) values (9999, '9999_from_the_future', 'x')`;
  await sql`update service_state set alive_at = now()`;
  expect(await services.checkHealth()).toMatchObject({
    status: "degraded",
    migrations: { status: "degraded", newest: "9999_from_the_future" },
  });
  await sql`delete from schema_migrations where version > 5`;
  expect(await services.checkHealth()).toMatchObject({ status: "unavailable", migrations: { status: "unavailable" } });
  await sql`drop table schema_migrations`;
  expect(await services.checkHealth()).toMatchObject({
    status: "unavailable",
    database: { status: "ok" },
    migrations: { status: "unavailable", newest: null },
  });
});

test("those who ask at once are one look at the database", async () => {
  await using dispatcher = await startTestDispatcher();
  const { services } = dispatcher;
  const [first, second] = [services.checkHealth(), services.checkHealth()];
  expect(second).toBe(first);
  await first;
  expect(services.checkHealth()).not.toBe(first);
});
