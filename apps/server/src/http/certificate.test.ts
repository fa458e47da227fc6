import { copyFile, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { DispatcherError } from "@dispatcher/core";
import { expect, onTestFinished, test, vi } from "vitest";
import { readConfig } from "../config.ts";
import { startApp } from "../../test/support/test-app.ts";
import { readCertificate, watchCertificate } from "./certificate.ts";

const PAIRS = join(import.meta.dirname, "../../test/support/certificates");
const LONG = { timeout: 30_000 };

async function aFolder(): Promise<{ readonly cert: string; readonly key: string; readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-certificate-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  await copyFile(join(PAIRS, "first.cert.pem"), cert);
  await copyFile(join(PAIRS, "first.key.pem"), key);
  return { cert, key, folder };
}

function envOf({ cert, key }: { readonly cert: string; readonly key: string }): Record<string, string> {
  return { DISPATCHER_TLS_CERT_FILE: cert, DISPATCHER_TLS_KEY_FILE: key };
}

/** What is said of a pair that cannot be used; `none` of one that can. */
function faultOf(paths: { readonly cert: string; readonly key: string }): string {
  try {
    readCertificate(readConfig(envOf(paths)));
    return "none";
  } catch (error) {
    return error instanceof DispatcherError ? `${error.code}: ${error.message}` : "a bug";
  }
}

/** The name in the certificate that a new connection is shown, and what `GET /` answers. */
function ask(port: number): Promise<{ readonly name: string; readonly answer: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
      const name = String(socket.getPeerCertificate().subject.CN);
      let answer = "";
      socket.setEncoding("utf8").on("data", (text: string) => (answer += text));
      socket.on("end", () => resolve({ name, answer }));
      socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    });
    socket.on("error", reject);
  });
}

test("with a certificate the server speaks HTTPS, and promises to go on doing so", async () => {
  const { port } = await startApp(envOf(await aFolder()));
  const { name, answer } = await ask(port);
  expect(name).toBe("first.test");
  expect(answer).toContain("Hello rescuer");
  expect(answer.toLowerCase()).toContain("strict-transport-security: max-age=31536000");
});

test("a renewed certificate is used for new connections; half of one, or a broken one, is not", async () => {
  const files = await aFolder();
  const { port, app } = await startApp(envOf(files));
  const said: string[] = [];
  const log = {
    info: ({ event }: { event: string }) => said.push(event),
    error: ({ event }: { event: string }) => said.push(event),
  };
  const server = app.http.server as unknown as Parameters<typeof watchCertificate>[0]["servers"][number];
  const watch = { config: readConfig(envOf(files)), log: log as never, servers: [server], lookMs: 5 };
  onTestFinished(watchCertificate(watch));

  await copyFile(join(PAIRS, "second.cert.pem"), files.cert);
  await vi.waitUntil(() => said.includes("certificate.unusable"), LONG);
  expect((await ask(port)).name).toBe("first.test");
  await copyFile(join(PAIRS, "second.key.pem"), files.key);
  await vi.waitUntil(() => said.includes("certificate.renewed"), LONG);
  expect((await ask(port)).name).toBe("second.test");
  said.length = 0;
  await writeFile(files.cert, "no certificate");
  await vi.waitUntil(() => said.includes("certificate.unusable"), LONG);
  await rm(files.key);
  expect((await ask(port)).name).toBe("second.test");
});

test("a link that leads to other files is noticed, as renewals and mounts make them", async () => {
  const files = await aFolder();
  const [cert, key] = [join(files.folder, "live-cert.pem"), join(files.folder, "live-key.pem")];
  await symlink(files.cert, cert);
  await symlink(files.key, key);
  const paths = { cert, key };
  const { port, app } = await startApp(envOf(paths));
  let renewed = 0;
  const log = { info: () => (renewed += 1), error: () => 0 };
  const server = app.http.server as unknown as Parameters<typeof watchCertificate>[0]["servers"][number];
  const watch = { config: readConfig(envOf(paths)), log: log as never, servers: [server], lookMs: 5 };
  onTestFinished(watchCertificate(watch));
  for (const [which, live] of Object.entries(paths)) {
    await symlink(join(PAIRS, `second.${which}.pem`), `${live}.new`);
    await rename(`${live}.new`, live);
  }
  await vi.waitUntil(() => renewed > 0, LONG);
  expect((await ask(port)).name).toBe("second.test");
});

test("a certificate that cannot be used is a fault of the settings, and its key is not shown", async () => {
  const files = await aFolder();
  const key = await readFile(files.key, "utf8");
  expect(faultOf(files)).toBe("none");
  expect(faultOf({ ...files, cert: join(files.folder, "none.pem") })).toMatch(
    /^CONFIG_INVALID: .* cannot be read \(ENOENT\)/,
  );
  expect(faultOf({ ...files, cert: join(PAIRS, "second.cert.pem") })).toMatch(
    /^CONFIG_INVALID: .* cannot be used with the key/,
  );
  await writeFile(files.key, key.slice(0, 60));
  expect(faultOf(files)).toMatch(/^CONFIG_INVALID/);
  expect(faultOf(files)).not.toContain(key.slice(30, 60));
  expect(readCertificate(readConfig({}))).toBeNull();
});
