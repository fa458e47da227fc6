/** A running agent answers `status` on a socket in its home: one line of JSON to whoever connects, and it hangs up. */
import { once } from "node:events";
import { chmod, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { AgentStatusShape } from "./agent-status.ts";
import type { AgentStatus } from "./agent-status.ts";

/** An agent answers within ms; one that is stopped in a debugger never does. */
const ANSWER_TIMEOUT_MS = 5000;

export type StatusServer = { readonly close: () => Promise<void> };

/** Needs the home's lock: what lies at the path is then a left-over. @throws the system's error */
export async function serveStatus(path: string, status: () => Promise<AgentStatus>): Promise<StatusServer> {
  await rm(path, { force: true });
  const server = createServer((socket) => {
    // Who hangs up early misses the answer; that is all.
    socket.on("error", () => {});
    status().then(
      (answer) => socket.end(`${JSON.stringify(answer)}\n`),
      () => socket.destroy(),
    );
  });
  server.listen(path);
  await once(server, "listening");
  await chmod(path, 0o600);
  // Answering is no reason to live on.
  server.unref();
  return {
    async close() {
      server.close();
      await once(server, "close");
    },
  };
}

/** Null where no agent answers. */
export async function askStatus(path: string): Promise<AgentStatus | null> {
  const socket = connect(path);
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy());
  try {
    const answer = await text(socket);
    return AgentStatusShape.parse(JSON.parse(answer));
  } catch {
    return null;
  } finally {
    socket.destroy();
  }
}
