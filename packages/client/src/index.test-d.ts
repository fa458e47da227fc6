import { expectTypeOf, test } from "vitest";
import { createDispatcherClient, isDispatcherError } from "./index.ts";
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

test("an input that may be left out is left out, and one that may not is asked for", () => {
  const client = createDispatcherClient({ url: "http://127.0.0.1" });
  expectTypeOf(client.stats.overview.query).toBeCallableWith(undefined, { timeoutMs: 1 });
  expectTypeOf(client.asset.list.query).toBeCallableWith();
  expectTypeOf(client.asset.get.query).toBeCallableWith({ id: "1" });
  // @ts-expect-error Which asset?
  void (() => client.asset.get.query());
  // @ts-expect-error A query is not called as a mutation.
  void client.asset.get.mutate;
});

test("a subscription is a loop without calls back, and can be ended with them", () => {
  const { live } = createDispatcherClient({ url: "http://127.0.0.1" }).event;
  type Message = RouterOutputs["event"]["live"];
  expectTypeOf<Message>().toHaveProperty("id").toEqualTypeOf<string>();
  expectTypeOf(() => live.subscribe({}, { signal: undefined })).returns.toExtend<AsyncIterable<Message>>();
  expectTypeOf(() => live.subscribe({}, { onData: () => undefined })).returns.toHaveProperty("unsubscribe");
});

test("the code of an error tells what details there are", () => {
  const error: unknown = null;
  if (isDispatcherError(error, "RATE_LIMITED", "ASSET_UNKNOWN")) {
    expectTypeOf(error.code).toEqualTypeOf<"RATE_LIMITED" | "ASSET_UNKNOWN">();
    if (error.code === "RATE_LIMITED") expectTypeOf(error.details.retryAfterMs).toEqualTypeOf<number | undefined>();
    else expectTypeOf(error.details.id).toEqualTypeOf<string | undefined>();
  }
  if (isDispatcherError(error)) {
    if (error.code === "LEDGER_EXCEEDED") expectTypeOf(error.details.missingBytes).toEqualTypeOf<number | undefined>();
    // @ts-expect-error There is no such code.
    if (error.code === "TOO_LATE") return;
  }
});
