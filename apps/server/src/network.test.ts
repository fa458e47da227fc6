import { expect, test } from "vitest";
import { callerBlockOf, networkOf } from "./network.ts";

test.each([
  ["203.0.113.77", "203.0.113.0/24"],
  ["::ffff:203.0.113.77", "203.0.113.0/24"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"],
  ["2001:db8::1", "2001:db8:0::/48"],
  ["2001:0DB8:0001::", "2001:db8:1::/48"],
])("%s lies in %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test("a caller that has hung up has no address, and no network", () => {
  expect(networkOf(undefined)).toBeNull();
});

test.each([
  "127.0.0.1",
  "10.1.2.3",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "169.254.1.1",
  "::1",
  "fd00::1",
  "fe80::1%eth0",
  "nonsense",
  "",
])("%s tells no network", (address) => {
  expect(networkOf(address)).toBeNull();
});

test("172.32.0.1 is public", () => {
  expect(networkOf("172.32.0.1")).toBe("172.32.0.0/24");
});

test("a caller without a key is its IPv4 address, or its /64 of IPv6", () => {
  expect(callerBlockOf("192.0.2.7")).toBe("192.0.2.7");
  expect(callerBlockOf("::ffff:192.0.2.7")).toBe("192.0.2.7");
  expect(callerBlockOf("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2::/64");
  expect(callerBlockOf("2001:DB8:1:2::9")).toBe("2001:db8:1:2::/64");
  expect(callerBlockOf("fe80::1%eth0")).toBe("fe80:0:0:0::/64");
  expect(callerBlockOf("::1")).toBe("0:0:0:0::/64");
  expect(callerBlockOf(undefined)).toBe("unknown");
});
