import { expect, test } from "vitest";
import { describeListener } from "./listener.ts";

const on = (...addresses: readonly string[]) =>
  describeListener(addresses.map((address) => ({ address, port: 8001, family: "" })));

test("a server on one address says that one", () => {
  expect(on("192.168.1.7")).toEqual({
    url: "http://192.168.1.7:8001",
    addresses: ["192.168.1.7:8001"],
    text: "Dispatcher listens on 192.168.1.7:8001",
  });
  expect(describeListener([{ address: "::1", port: 8443, family: "" }], "https").url).toBe("https://[::1]:8443");
  expect(on("127.0.0.1", "::1")).toEqual({
    url: "http://127.0.0.1:8001",
    addresses: ["127.0.0.1:8001", "[::1]:8001"],
    text: "Dispatcher listens on 127.0.0.1:8001 and [::1]:8001",
  });
});

test.each([
  ["0.0.0.0", "0.0.0.0:8001"],
  ["::", "[::]:8001"],
])("a server on %s says that the whole network reaches it", (address, shown) => {
  expect(on(address)).toEqual({
    url: "http://127.0.0.1:8001",
    addresses: [shown],
    text: `Dispatcher listens on ${shown}, open to every network interface; on this machine it is http://127.0.0.1:8001`,
  });
});
