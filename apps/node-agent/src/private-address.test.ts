import { expect, test } from "vitest";
import { isPrivateAddress, lookupPublic } from "./private-address.ts";

test.each([
  "127.0.0.1",
  "10.1.2.3",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "169.254.169.254",
  "100.64.0.1",
  "0.0.0.0",
  "255.255.255.255",
  "::",
  "::1",
  "[::1]",
  "fe80::1%eth0",
  "fd00::1",
  "::ffff:192.168.1.1",
  "::ffff:7f00:1",
])("%s is private", (address) => {
  expect(isPrivateAddress(address)).toBe(true);
});

test.each([
  "8.8.8.8",
  "172.15.255.255",
  "172.32.0.1",
  "100.128.0.1",
  "2606:4700::1111",
  "::ffff:8.8.8.8",
  "example.org",
])("%s is not", (address) => {
  expect(isPrivateAddress(address)).toBe(false);
});

test("a name with a private address is refused before anybody connects", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  lookupPublic("localhost", { all: true }, (error) => resolve(error));
  expect(await promise).toMatchObject({
    isNamed: true,
    message: expect.stringContaining("localhost has the private address"),
  });
});
