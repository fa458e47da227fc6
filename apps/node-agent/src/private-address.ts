/**
 * Addresses that are nobody's on the internet. A catalog comes from others: without this, a URL or a redirect in it could
 * have every volunteer's machine ask things of the volunteer's own router, printer or neighbour.
 */
import { lookup } from "node:dns";
import type { LookupAddress, LookupOptions } from "node:dns";
import { BlockList, isIP } from "node:net";

/** Source: IANA's registries of special-purpose IPv4 and IPv6 addresses, those that are not globally reachable. */
const PRIVATE_NETWORKS = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  ["::", 127],
  ["64:ff9b:1::", 48],
  ["100::", 64],
  ["2001:db8::", 32],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const;

const PRIVATE = new BlockList();
for (const [network, prefix] of PRIVATE_NETWORKS) {
  PRIVATE.addSubnet(network, prefix, network.includes(":") ? "ipv6" : "ipv4");
}

export class PrivateAddress extends Error {
  /** It was a name that has such an address. */
  readonly isNamed: boolean;

  constructor(host: string, address: string) {
    super(host === address ? `${host} is a private address.` : `${host} has the private address ${address}.`);
    this.isNamed = host !== address;
  }
}

/** True as well for an IPv4 address in the clothes of an IPv6 one; false for what is no address. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  const version = isIP(bare);
  return version !== 0 && PRIVATE.check(bare, version === 6 ? "ipv6" : "ipv4");
}

type Found = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

/** As `dns.lookup`, for `net.connect`: a name that has a private address among its own is refused before anybody connects. */
export function lookupPublic(host: string, options: LookupOptions, found: Found): void {
  lookup(host, options, (error, address, family) => {
    const addresses = typeof address === "string" ? [address] : (address ?? []).map((one) => one.address);
    const refused = error === null ? addresses.find(isPrivateAddress) : undefined;
    if (refused === undefined) found(error, address, family);
    else found(new PrivateAddress(host, refused), []);
  });
}
