import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { runProgram, startServer } from "@dispatcher/testbed";
import { expect, onTestFinished, test } from "vitest";
import { createTestDatabase } from "./support/test-database.ts";

const PAIRS = join(import.meta.dirname, "support/certificates");
const ADMIN_KEY = "an-admin-key-to-hide";

async function aFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-settings-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A page over HTTPS, whoever has signed the certificate. */
function read(url: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(`${url}${path}`, { rejectUnauthorized: false, agent: false }, (answer) => resolve(text(answer))).on(
      "error",
      reject,
    );
  });
}

test("a server with a file of settings speaks HTTPS, renews its certificate, and shows no secret", async () => {
  const folder = await aFolder();
  const [cert, key, file] = [join(folder, "cert.pem"), join(folder, "key.pem"), join(folder, "server.env")];
  await copyFile(join(PAIRS, "first.cert.pem"), cert);
  await copyFile(join(PAIRS, "first.key.pem"), key);
  await writeFile(
    file,
    `DISPATCHER_TLS_CERT_FILE=${cert}\nDISPATCHER_TLS_KEY_FILE=${key}\nDISPATCHER_ADMIN_KEY=${ADMIN_KEY}\nDISPATCHER_METRICS=public\nDISPATCHER_PROT=1\nDEBUG=yes\n`,
  );
  await using database = await createTestDatabase();
  await using server = await startServer({
    database: { databaseUrl: database.url },
    env: { DISPATCHER_ENV_FILE: file },
  });
  expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:/);
  expect(await read(server.url, "/")).toBe('"Hello rescuer 👋"');
  expect(await server.waitForEvent("config.warning")).toMatchObject({
    level: "WARNING",
    msg: expect.stringContaining("DISPATCHER_PORT is one"),
  });
  expect(await server.waitForEvent("request")).toMatchObject({ level: "DEBUG", path: "/", status: 200 });
  const metrics = await read(server.url, "/metrics");
  expect(metrics).toContain("process_cpu_seconds_total");
  expect(metrics).toContain("nodejs_eventloop_lag_seconds");

  await copyFile(join(PAIRS, "second.cert.pem"), cert);
  await copyFile(join(PAIRS, "second.key.pem"), key);
  await server.waitForEvent("certificate.renewed", { timeoutMs: 50_000 });
  expect(await read(server.url, "/health/live")).toContain('"ok"');
  expect([...server.output, ...server.errors].join("\n")).not.toContain(ADMIN_KEY);
  expect(await server.stop()).toEqual({ code: 0, signal: null });
});

test("--print-config shows what is in force and starts nothing", async () => {
  const { exitCode, stdout } = await runProgram("server", {
    args: ["--print-config"],
    env: { DATABASE_URL: "postgres://me:hide-me@db/d", DISPATCHER_PORT: "9000", DISPATCHER_ADMIN_KEY: ADMIN_KEY },
  });
  expect(exitCode).toBe(0);
  expect(stdout).toContain("DISPATCHER_PORT=9000  # environment");
  expect(stdout).not.toContain("hide-me");
  expect(stdout).not.toContain(ADMIN_KEY);
});

test("a certificate that cannot be used ends the start, with what is wrong", async () => {
  await using database = await createTestDatabase();
  const { exitCode, stderr } = await runProgram("server", {
    env: {
      DATABASE_URL: database.url,
      DISPATCHER_PORT: "0",
      DISPATCHER_TLS_CERT_FILE: join(PAIRS, "first.cert.pem"),
      DISPATCHER_TLS_KEY_FILE: join(PAIRS, "second.key.pem"),
    },
  });
  expect(exitCode).toBe(78);
  expect(stderr).toMatch(/^CONFIG_INVALID: The certificate .* cannot be used with the key/);
});
