import { connect } from "node:net";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { createApp } from "../../src/app.ts";
import type { App } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { openDatabase } from "../../src/db/database.ts";
import { openTracing } from "../../src/telemetry.ts";
import type { Tracing } from "../../src/telemetry.ts";

/** Nothing listens there. */
export const NO_DATABASE = "postgres://nobody@127.0.0.1:1/nothing";

export type TestApp = {
  readonly url: string;
  readonly port: number;
  readonly app: App;
  /** What it logs, a JSON object each. */
  readonly lines: string[];
  readonly tracing: Tracing | null;
};

/** The server's doors on a port of 127.0.0.1, closed when the test ends; over no database unless one is named. */
export async function startApp(
  env: Readonly<Record<string, string>> = {},
  options: string | { readonly databaseUrl?: string; readonly listen?: (app: App) => Promise<unknown> } = {},
): Promise<TestApp> {
  const {
    databaseUrl = NO_DATABASE,
    // One socket is enough, and nobody else has its port.
    listen = ({ http }: App) => http.listen({ host: "127.0.0.1", port: 0 }),
  } = typeof options === "string" ? { databaseUrl: options } : options;
  const lines: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => lines.push(line) });
  const db = openDatabase({ url: databaseUrl, applicationName: "test", poolSize: 4, log });
  // Where tests share two cores with others they are late, and no service is to be protected.
  const config = readConfig({ DISPATCHER_LOOP_DELAY_MAX_MS: "0", ...env });
  const tracing = await openTracing(config, log);
  const app = createApp(config, db, log, { random: () => 0.5, tracing });
  onTestFinished(async () => {
    app.closeConnections();
    await app.http.close();
    await db.close();
    await tracing?.close();
  });
  await listen(app);
  const [address] = app.http.addresses();
  if (address === undefined || typeof address === "string") throw new Error("The server listens at no port.");
  const scheme = config.DISPATCHER_TLS_CERT_FILE === undefined ? "http" : "https";
  return { url: `${scheme}://127.0.0.1:${address.port}`, port: address.port, app, lines, tracing };
}

/** A connection on which a test writes what it likes; gone when the test ends. */
export function dial(port: number, sent = ""): Socket {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  socket.write(sent);
  return socket;
}

/** All that comes until the other side closes. */
export async function readAll(socket: Socket): Promise<string> {
  return text(socket);
}

type Wire = { readonly code: string; readonly details: Readonly<Record<string, unknown>> };

/** The code of an answer, in whichever of the two shapes; `OK` where there is none. */
export async function codeOf(response: Response): Promise<string> {
  const body = (await response.json()) as {
    readonly code?: string;
    readonly error?: { readonly json: { readonly data: { readonly dispatcher: Wire } } };
  };
  return body.error?.json.data.dispatcher.code ?? body.code ?? "OK";
}

/** Call a procedure by POST, with a key if one is given. */
export function post(url: string, path: string, input: unknown = {}, key?: string): Promise<Response> {
  return fetch(`${url}/trpc/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
    body: typeof input === "string" ? input : JSON.stringify({ json: input }),
  });
}
