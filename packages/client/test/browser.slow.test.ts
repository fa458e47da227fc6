/** The packed client in a real browser, in a page of another origin than the server's. */
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDispatcherClient } from "@dispatcher/client";
import { startServer, waitFor } from "@dispatcher/testbed";
import { chromium } from "playwright-core";
import type { Page } from "playwright-core";
import { rolldown } from "rolldown";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import type { PageProgram, Seen } from "./browser/page.ts";
import { findChromium } from "./support/find-chromium.ts";
import { ROOT, createOutsideProject } from "./support/outside-project.ts";

const ADMIN_KEY = "an-admin-key-for-tests";
const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-sync",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-dev-shm-usage",
];

/** The page's program, bundled as a site outside would: the client comes from the tarball. */
async function bundlePage(): Promise<string> {
  await using project = await createOutsideProject();
  await cp(join(ROOT, "packages/client/test/browser/page.ts"), join(project.folder, "page.ts"));
  await using bundle = await rolldown({
    input: join(project.folder, "page.ts"),
    cwd: project.folder,
    platform: "browser",
    checks: { bundlerTimings: false },
    // What is left for Node would fail in the page.
    onLog(level, log, report) {
      if (level === "warn") throw new Error(log.message);
      report(level, log);
    },
  });
  await bundle.write({ file: join(project.folder, "page.js"), format: "esm", minify: true });
  return readFile(join(project.folder, "page.js"), "utf8");
}

let script: string;
beforeAll(async () => {
  script = await bundlePage();
});

/** Serve the page from a port of its own; answers its origin. */
async function servePage(): Promise<string> {
  const site = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : `<!doctype html><script type="module" src="/page.js"></script>`);
  });
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    site.closeAllConnections();
    site.close();
  });
  return `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
}

async function openPage(origin: string): Promise<Page> {
  const browser = await chromium.launch({ executablePath: await findChromium(), args: CHROMIUM_FLAGS });
  onTestFinished(() => browser.close());
  const page = await browser.newPage();
  await page.goto(origin);
  await page.waitForFunction("globalThis.program !== undefined");
  return page;
}

async function startEmpty(env: Readonly<Record<string, string>>) {
  const dataDir = await mkdtemp(join(tmpdir(), "client-browser-"));
  const server = await startServer({ database: { dataDir }, env: { DISPATCHER_ADMIN_KEY: ADMIN_KEY, ...env } });
  onTestFinished(async () => {
    await server[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true, force: true });
  });
  return server;
}

const start = (page: Page, server: { readonly url: string; readonly key: string }): Promise<void> =>
  page.evaluate((given) => (globalThis as unknown as { program: PageProgram }).program.start(given), server);
const seenBy = (page: Page): Promise<Seen> =>
  page.evaluate(() => (globalThis as unknown as { program: PageProgram }).program.seen);

test("a page asks, is refused with a typed error, and hears all events over a restart of the server", async () => {
  const origin = await servePage();
  const server = await startEmpty({ DISPATCHER_CORS_ORIGINS: origin });
  const page = await openPage(origin);
  await start(page, { url: server.url, key: ADMIN_KEY });
  expect(await seenBy(page)).toMatchObject({ assets: 0, failure: { code: "ASSET_UNKNOWN", id: "999999" } });

  const admin = createDispatcherClient({ url: server.url, key: ADMIN_KEY });
  const createToken = () => admin.token.create.mutate({ operator: "ada" });
  await waitFor("the page to listen", async () => (await seenBy(page)).states.includes("started"));
  await waitFor("the page to hear the first event", async () => {
    await createToken();
    return (await seenBy(page)).eventIds.length > 0;
  });

  await server.kill("SIGKILL");
  await server.restart();
  await createToken();
  const { events } = await admin.event.list.query({ kinds: ["token.created"], limit: 1000 });
  const newest = events[0]?.id;
  await waitFor("the page to hear the last event", async () => (await seenBy(page)).eventIds.at(-1) === newest);
  const seen = await seenBy(page);
  const logged = events.map(({ id }) => id).toReversed();
  expect(seen.eventIds).toEqual(logged.slice(-seen.eventIds.length));
  expect(seen.eventIds.length).toBeGreaterThan(1);
  expect(seen.faults).toEqual([]);
});

test("a page that the server does not name is told that it cannot reach it", async () => {
  const origin = await servePage();
  const server = await startEmpty({ DISPATCHER_CORS_ORIGINS: "https://dashboard.example.org" });
  const page = await openPage(origin);
  await expect(start(page, { url: server.url, key: ADMIN_KEY })).rejects.toThrow("No answer of a Dispatcher server");
});
