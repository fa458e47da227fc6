/**
 * Several sockets that listen on one port. In each turn of its loop Node takes one new connection from each (libuv since 1.45),
 * and a turn of a busy server takes milliseconds: through a single one, thousands of nodes that come back at once, as they
 * do after a restart, would wait for half a minute, however quickly they were answered then.
 */
import { createServer } from "node:net";
import type { Server } from "node:net";
import { platform } from "node:os";

export type Place = { readonly host: string; readonly port: number; readonly backlog?: number };

/** Too few: see above. Too many: nothing but open files. Elsewhere the system does not share a port's callers out. */
export const LISTENERS = platform() === "linux" ? 16 : 1;

/** Sockets that share a port would share it with another server's as well: so it is tried out by one that does not. */
export async function requireFree({ host, port }: Place): Promise<void> {
  if (LISTENERS === 1 || port === 0) return;
  const server = createServer((socket) => void socket.destroy());
  await listenTo(server, { host, port });
  await new Promise((resolve) => server.close(resolve));
}

/** Another one beside those that listen there. Rejects as Node does. */
export function listenOn(server: Server, place: Place): Promise<void> {
  return listenTo(server, { ...place, reusePort: true });
}

function listenTo(server: Server, options: Place & { readonly reusePort?: boolean }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(options, () => {
    server.off("error", reject);
    resolve();
  });
  return promise;
}
