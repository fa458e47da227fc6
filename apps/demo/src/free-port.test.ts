import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { findFreePort } from "./free-port.ts";

test("a taken port is passed over, and zero stays zero", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  try {
    await once(server, "listening");
    const address = server.address();
    const taken = typeof address === "object" && address !== null ? address.port : 0;
    const found = await findFreePort(taken);
    expect(found).toBeGreaterThan(taken);
    expect(await findFreePort(found)).toBe(found);
    expect(await findFreePort(0)).toBe(0);
  } finally {
    server.close();
  }
});
