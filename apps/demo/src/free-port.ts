import { once } from "node:events";
import { createServer } from "node:net";
import { DispatcherError } from "@dispatcher/core";

/** Beyond so many taken in a row, something else is wrong. */
const TRIES = 100;

/** The first port from `first` on that nothing listens on at 127.0.0.1; 0 stays 0. @throws DispatcherError PORT_TAKEN */
export async function findFreePort(first: number): Promise<number> {
  const last = Math.min(65_535, first + TRIES - 1);
  for (let port = first; port <= last; port++) {
    if (await isFree(port)) return port;
  }
  throw new DispatcherError("PORT_TAKEN", `All ports from ${first} to ${last} on 127.0.0.1 are in use.`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    server.close();
    await once(server, "close");
    return true;
  } catch {
    return false;
  }
}
