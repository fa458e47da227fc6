/**
 * Requests over kept connections, by sockets and as little of HTTP as our server speaks: generator and server share the
 * cores, so what is spent on a request here is taken from the server.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { AnswerReader } from "./answer-reader.ts";
import type { Answer } from "./answer-reader.ts";
import type { Call } from "./mix.ts";

/** Longer than any client of ours waits. Nobody who is still without an answer then gets one. */
const PATIENCE_MS = 40_000;
const LOOK_MS = 1_000;
const READ_BYTES = 65_536;

/** Null: the connection ended, or the time was over, without an answer. */
export type Hear = (answer: Answer | null) => void;

export type Requests = Disposable & {
  readonly send: (call: Call, hear: Hear) => void;
  /** Why there was no answer, and how often. */
  readonly faults: ReadonlyMap<string, number>;
  /** Open at once, at most so far. */
  readonly connections: number;
};

type Line = { readonly socket: Socket; readonly reader: AnswerReader; hear: Hear | null; askedAtMs: number };

function textOf({ method, path, body, key, address }: Call): string {
  const head = `${method} ${path} HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: ${address}\r\n`;
  const authorization = key === undefined ? "" : `Authorization: Bearer ${key}\r\n`;
  if (body === undefined) return `${head}${authorization}\r\n`;
  // Of the bench's own making, and ASCII.
  return `${head}${authorization}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

export function openRequests(url: string, connectionsMax: number): Requests {
  const { hostname, port } = new URL(url);
  const lines = new Set<Line>();
  // The one used last comes first, so that there are no more connections than are needed.
  const free: Line[] = [];
  let waiting: { readonly call: Call; readonly hear: Hear }[] = [];
  let waitingFrom = 0;
  let connections = 0;
  const faults = new Map<string, number>();
  // Each read is heard before the next one begins, so all share the room for it.
  const room = Buffer.allocUnsafe(READ_BYTES);

  const ask = (line: Line, call: Call, hear: Hear): void => {
    line.hear = hear;
    line.askedAtMs = performance.now();
    line.socket.write(textOf(call), "latin1");
  };
  const release = (line: Line): void => {
    const next = waiting[waitingFrom];
    if (next === undefined) {
      free.push(line);
      return;
    }
    waitingFrom += 1;
    if (waitingFrom === waiting.length) [waiting, waitingFrom] = [[], 0];
    ask(line, next.call, next.hear);
  };
  const end = (line: Line, why: string): void => {
    if (!lines.delete(line)) return;
    line.socket.destroy();
    const place = free.indexOf(line);
    if (place !== -1) free.splice(place, 1);
    const { hear } = line;
    if (hear !== null) {
      faults.set(why, (faults.get(why) ?? 0) + 1);
      hear(null);
    }
    if (waitingFrom < waiting.length) release(dial());
  };
  const dial = (): Line => {
    const reader = new AnswerReader();
    const socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: {
        buffer: room,
        callback: (length) => {
          const answer = reader.take(room, length);
          if (answer === null) return true;
          const { hear } = line;
          line.hear = null;
          if (answer.isLast) end(line, "closed");
          else release(line);
          hear?.(answer);
          return true;
        },
      },
    });
    const line: Line = { socket, reader, hear: null, askedAtMs: 0 };
    lines.add(line);
    connections = Math.max(connections, lines.size);
    socket.on("error", (error) => end(line, "code" in error ? String(error.code) : error.message));
    socket.on("close", () => end(line, "closed without an answer"));
    return line;
  };

  const looking = setInterval(() => {
    const nowMs = performance.now();
    for (const line of lines) {
      if (line.hear !== null && nowMs - line.askedAtMs > PATIENCE_MS) end(line, `no answer in ${PATIENCE_MS} ms`);
    }
  }, LOOK_MS);

  return {
    faults,
    get connections() {
      return connections;
    },
    send: (call, hear) => {
      const line = free.pop() ?? (lines.size < connectionsMax ? dial() : null);
      if (line === null) waiting.push({ call, hear });
      else ask(line, call, hear);
    },
    [Symbol.dispose]: () => {
      clearInterval(looking);
      for (const line of lines) {
        line.hear = null;
        end(line, "over");
      }
    },
  };
}
