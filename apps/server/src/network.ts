import { isIPv4, isIPv6 } from "node:net";

/**
 * The network an address belongs to, as far as an address tells: /24 of IPv4, /48 of IPv6, what one site usually has.
 * Loopback and private addresses say nothing about where a machine stands: null.
 */
export function networkOf(address: string | undefined): string | null {
  if (address === undefined) return null;
  const plain = withoutMapping(address);
  if (isIPv4(plain)) return networkOfV4(plain);
  return isIPv6(plain) ? networkOfV6(plain) : null;
}

function networkOfV4(address: string): string | null {
  const [a = 0, b = 0, c = 0] = address.split(".").map(Number);
  const isPrivate =
    a === 0 ||
    a === 10 ||
    a === 127 ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168);
  return isPrivate ? null : `${a}.${b}.${c}.0/24`;
}

/**
 * What one caller without a key can be told by: an IPv4 address, and the /64 of an IPv6 one, in which a single machine has
 * as many addresses as it likes. `unknown` where there is no address.
 */
export function callerBlockOf(address: string | undefined): string {
  const plain = withoutMapping(address ?? "");
  if (isIPv4(plain)) return plain;
  return isIPv6(plain) ? `${groupsOfV6(plain).slice(0, 4).join(":")}::/64` : "unknown";
}

/** An IPv4 address as such, where it is written as an IPv6 one; without the zone of a link. */
function withoutMapping(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address.split("%")[0] ?? "";
}

/** All eight, in hex. */
function groupsOfV6(address: string): readonly string[] {
  // URL writes every IPv6 address in its one shortest form.
  const [head = "", tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const groups = head.split(":").filter((group) => group !== "");
  const rest = (tail ?? "").split(":").filter((group) => group !== "");
  const missing = tail === undefined ? 0 : 8 - groups.length - rest.length;
  return [...groups, ...Array<string>(missing).fill("0"), ...rest];
}

function networkOfV6(address: string): string | null {
  const full = groupsOfV6(address);
  const first = Number.parseInt(full[0] ?? "0", 16);
  const isLoopback = full.every((group, index) => group === (index === 7 ? "1" : "0"));
  const isPrivate = isLoopback || (first & 0xfe00) === 0xfc00 || (first & 0xffc0) === 0xfe80;
  return isPrivate ? null : `${full.slice(0, 3).join(":")}::/48`;
}
