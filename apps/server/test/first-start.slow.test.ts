/** A dispatcher that nobody has a key of yet: who gets the first one, and how the next is made. */
import { runAdmin, startServer } from "@dispatcher/testbed";
import type { ServerProcess } from "@dispatcher/testbed";
import { expect, test } from "vitest";
import { createTestDatabase } from "./support/test-database.ts";

const KEY = /dsp_[0-9]+_[\w-]{43}/;

/** What a server says on standard error about its first key. */
function keysShownBy(servers: readonly ServerProcess[]): readonly string[] {
  return servers.flatMap(({ errors }) => errors.flatMap((line) => KEY.exec(line) ?? []));
}

/** Whether a key opens what only administrators may; the code when it does not. */
async function tryAdminKey(url: string, key: string): Promise<string> {
  const response = await fetch(`${url}/trpc/key.list`, { headers: { authorization: `Bearer ${key}` } });
  const { error } = (await response.json()) as { error?: { json: { data: { dispatcher: { code: string } } } } };
  return error?.json.data.dispatcher.code ?? "ok";
}

test("two servers that start at once for the first time show one admin key between them, beside the log, and once", async () => {
  await using database = await createTestDatabase();
  const start = () => startServer({ database: { databaseUrl: database.url } });
  const [one, two] = await Promise.all([start(), start()]);
  await using first = one;
  await using second = two;
  const [key, ...more] = keysShownBy([first, second]);
  expect(more).toEqual([]);
  expect(key).toMatch(KEY);
  expect(await tryAdminKey(first.url, key ?? "")).toBe("ok");
  expect(await tryAdminKey(second.url, key ?? "")).toBe("ok");
  expect([...first.errors, ...second.errors].join("\n")).toContain("pnpm admin key create --role admin");

  await Promise.all([first.restart(), second.restart()]);
  expect(keysShownBy([first, second])).toEqual([]);
  expect(await tryAdminKey(first.url, key ?? "")).toBe("ok");
  expect([...first.output, ...second.output].filter((line) => KEY.test(line))).toEqual([]);
});

test("a server whose settings have an admin key takes that one and shows none", async () => {
  await using database = await createTestDatabase();
  const adminKey = "the-key-of-the-settings";
  await using server = await startServer({
    database: { databaseUrl: database.url },
    env: { DISPATCHER_ADMIN_KEY: adminKey },
  });
  expect(keysShownBy([server])).toEqual([]);
  expect(server.errors).toEqual([]);
  expect(await tryAdminKey(server.url, adminKey)).toBe("ok");
  expect(await tryAdminKey(server.url, `${adminKey}x`)).toBe("KEY_INVALID");
});

test("the admin command makes a key that opens a running server, and takes it back", async () => {
  await using database = await createTestDatabase();
  await using server = await startServer({
    database: { databaseUrl: database.url },
    env: { DISPATCHER_ADMIN_KEY: "the-key-of-the-settings" },
  });
  const admin = (...args: readonly string[]) => runAdmin(args, { database: { databaseUrl: database.url } });

  const made = await admin("key", "create", "--role", "admin", "--name", "Grace", "--life", "90d");
  expect(made.exitCode).toBe(0);
  const key = made.stdout.trimEnd();
  expect(key).toMatch(new RegExp(`^${KEY.source}$`));
  expect(made.stderr).toContain('"Grace" with the role admin, for 90 d.');
  expect(await tryAdminKey(server.url, key)).toBe("ok");

  const id = key.split("_")[1] ?? "";
  expect(await admin("key", "revoke", id, "--reason", "for the story")).toMatchObject({ stdout: `Revoked: ${id}.\n` });
  expect(await tryAdminKey(server.url, key)).toBe("KEY_REVOKED");
  const neither = await admin("key", "revoke");
  expect(neither.exitCode).toBe(65);
  expect(neither.stderr).toMatch(/^INPUT_INVALID: id: /);
  expect(server.output.join("\n")).not.toMatch(KEY);
});
