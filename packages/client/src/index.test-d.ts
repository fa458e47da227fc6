import { expectTypeOf, test } from "vitest";
import { createDispatcherClient } from "./index.ts";
import type { DispatcherClient, RouterInputs, RouterOutputs } from "./index.ts";

test("the router's types arrive at the caller", () => {
  const client = createDispatcherClient({ url: "http://127.0.0.1" });
  expectTypeOf(client).toEqualTypeOf<DispatcherClient>();
  expectTypeOf(client.stats.overview.query).returns.resolves.toHaveProperty("assets");
  expectTypeOf<RouterOutputs["stats"]["overview"]["copies"]["counting"]>().toEqualTypeOf<number>();
  expectTypeOf<RouterInputs["node"]["sync"]["wants"]>().toEqualTypeOf<number>();
  // @ts-expect-error A procedure that the server does not have is not there.
  void client.node.explode;
});
