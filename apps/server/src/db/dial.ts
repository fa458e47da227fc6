import { connect } from "node:net";
import type { Socket } from "node:net";

/** Where a PostgreSQL listens: TCP, or a socket file. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/** In order of preference. */
export type Addresses = readonly [Address, ...Address[]];

export function showAddress(address: Address): string {
  return "path" in address ? address.path : `${address.host}:${address.port}`;
}

/**
 * A connected socket to the first address that accepts one, tried in the order given.
 * @throws Error of the last address when none does; each has `timeoutMs`
 */
export async function dial(addresses: Addresses, timeoutMs: number): Promise<Socket> {
  let failure: unknown;
  for (const address of addresses) {
    try {
      return await dialOne(address, timeoutMs);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function dialOne(address: Address, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect("path" in address ? address : { ...address, noDelay: true });
    // The driver reads the host here, to check the server's certificate against it.
    if ("host" in address) Object.assign(socket, address);
    const timer = setTimeout(() => {
      socket.destroy(new Error(`${showAddress(address)} did not accept a connection within ${timeoutMs} ms`));
    }, timeoutMs);
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
    // Stays for the socket's life: it may break before whoever dialled has put a listener of his own.
    socket.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}
