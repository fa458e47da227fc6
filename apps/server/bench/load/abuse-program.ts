/**
 * What a server meets beside its callers, in a process of its own: connections that send a byte now and then, bodies of
 * 100 MB, JSON as deep as it goes, batches of 10,000 calls, headers without end. As much of each at a time, until told to stop.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";

export type AbuseOrder = { readonly host: string; readonly port: number; readonly adminKey: string };
/** By kind: tries, and how they ended. `cut`: the connection was closed without a word. */
export type AbuseFound = Readonly<Record<string, Readonly<Record<string, number>>>>;

const SLOW_CONNECTIONS = 200;
const SLOW_BYTE_MS = 1_000;
const HUGE_BYTES = 100 * 2 ** 20;
const CHUNK = Buffer.alloc(65_536, "a");
const DEEP = 100_000;
const BATCH_CALLS = 10_000;
const HEADERS = 5_000;
/** Each kind has one under way, and rests so long between two. */
const REST_MS = 100;

const stop = new AbortController();
const found: Record<string, Record<string, number>> = {};

function note(kind: string, end: string): void {
  const ends = (found[kind] ??= {});
  ends["tries"] = (ends["tries"] ?? 0) + 1;
  ends[end] = (ends[end] ?? 0) + 1;
}

/** One try: `write` sends what it has, and the status line that comes back is how it ended. */
function attempt(
  { host, port }: AbuseOrder,
  kind: string,
  write: (socket: Socket, isOver: () => boolean) => Promise<void>,
): Promise<void> {
  return new Promise((resolve) => {
    let text = "";
    let isOver = false;
    const socket = connect(port, host);
    const giveUp = (): void => void socket.destroy();
    stop.signal.addEventListener("abort", giveUp, { once: true });
    socket.setEncoding("latin1");
    socket.on("data", (part: string) => {
      if (text.length < 100) text += part;
      // Whoever has been told no goes on sending only if it is heard.
      if (text.includes("\r\n")) setTimeout(giveUp, 1_000).unref();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      isOver = true;
      stop.signal.removeEventListener("abort", giveUp);
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      note(kind, status ?? (stop.signal.aborted ? "still open" : "cut"));
      resolve();
    });
    socket.on("connect", () => void write(socket, () => isOver));
  });
}

const HEAD = "Host: dispatcher\r\nContent-Type: application/json\r\nX-Forwarded-For: 10.9.9.9\r\n";

const whole = (text: string) => async (socket: Socket) => void socket.write(text);

function kindsOf(
  order: AbuseOrder,
): Readonly<Record<string, (socket: Socket, isOver: () => boolean) => Promise<void>>> {
  const body = (path: string, text: string, key = ""): string =>
    `POST ${path} HTTP/1.1\r\n${HEAD}${key}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
  const huge =
    (key = "") =>
    async (socket: Socket): Promise<void> => {
      socket.write(`POST /trpc/asset.import HTTP/1.1\r\n${HEAD}${key}Content-Length: ${HUGE_BYTES}\r\n\r\n`);
      const chunks = Readable.from(Array.from({ length: HUGE_BYTES / CHUNK.length }, () => CHUNK));
      await pipeline(chunks, socket, { end: false }).catch(() => {});
    };
  const withKey = `Authorization: Bearer ${order.adminKey}\r\n`;
  const calls = Array.from({ length: BATCH_CALLS }, () => "a").join(",");
  return {
    "slowloris, headers": async (socket, isOver) => {
      socket.write(`POST /trpc/node.sync HTTP/1.1\r\n`);
      while (!isOver() && !stop.signal.aborted) {
        socket.write("x");
        await pause(SLOW_BYTE_MS, undefined, { signal: stop.signal }).catch(() => {});
      }
    },
    "slowloris, body": async (socket, isOver) => {
      socket.write(`POST /trpc/node.sync HTTP/1.1\r\n${HEAD}Content-Length: 60000\r\n\r\n{`);
      while (!isOver() && !stop.signal.aborted) {
        socket.write(" ");
        await pause(SLOW_BYTE_MS, undefined, { signal: stop.signal }).catch(() => {});
      }
    },
    "100 MB without a key": huge(),
    "100 MB with a key": huge(withKey),
    "deep JSON": whole(body("/trpc/node.join", `{"json":${"[".repeat(30_000)}${"]".repeat(30_000)}}`)),
    "deep JSON with a key": whole(
      body("/trpc/asset.import", `{"json":${"[".repeat(DEEP)}${"]".repeat(DEEP)}}`, withKey),
    ),
    "10,000 calls in a batch": whole(`GET /trpc/${calls}?batch=1 HTTP/1.1\r\n${HEAD}\r\n`),
    "headers without end": whole(
      `GET /health HTTP/1.1\r\n${Array.from({ length: HEADERS }, (_, index) => `X-${index}: ${"y".repeat(100)}\r\n`).join("")}\r\n`,
    ),
  };
}

async function abuse(order: AbuseOrder): Promise<void> {
  const lanes = Object.entries(kindsOf(order)).flatMap(([kind, write]) =>
    Array.from({ length: kind.startsWith("slowloris") ? SLOW_CONNECTIONS / 2 : 1 }, async () => {
      while (!stop.signal.aborted) {
        await attempt(order, kind, write);
        await pause(REST_MS, undefined, { signal: stop.signal }).catch(() => {});
      }
    }),
  );
  await Promise.all(lanes);
}

let working: Promise<void> | null = null;
process.on("message", (order: AbuseOrder | "stop") => {
  if (order !== "stop") {
    working = abuse(order);
    return;
  }
  stop.abort();
  void working?.then(() => process.send?.(found, () => process.exit()));
});
process.once("disconnect", () => process.exit());
