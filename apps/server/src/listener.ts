import type { AddressInfo } from "node:net";

export type Listener = {
  /** How a program on this machine reaches the server. */
  readonly url: string;
  /** What is bound: `0.0.0.0:8001`, `[::1]:8001`. */
  readonly addresses: readonly string[];
  /** The line for the log. It says so when the server is open to the network: nobody should learn that from a stranger. */
  readonly text: string;
};

/** `bound`: one address, or several of the same port where the host is a name such as localhost. */
export function describeListener(bound: readonly AddressInfo[], scheme: "http" | "https" = "http"): Listener {
  const addresses = bound.map(({ address, port }) => withPort(address, port));
  const wildcard = bound.find(({ address }) => address === "0.0.0.0" || address === "::");
  const [first] = bound;
  if (first === undefined) throw new Error("The server listens nowhere.");
  const url = `${scheme}://${wildcard === undefined ? withPort(first.address, first.port) : `127.0.0.1:${wildcard.port}`}`;
  const where = `Dispatcher listens on ${addresses.join(" and ")}`;
  return {
    url,
    addresses,
    text: wildcard === undefined ? where : `${where}, open to every network interface; on this machine it is ${url}`,
  };
}

function withPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
