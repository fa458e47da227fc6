import type { AppRouter } from "@dispatcher/server";
import type { inferRouterInputs, inferRouterOutputs } from "@trpc/server";

export { createDispatcherClient } from "./client.ts";
export type { ClientOptions } from "./client.ts";
export type { RetryOptions } from "./retry.ts";
export type { Observer, Subscription } from "./subscribe.ts";
export { createClientOver } from "./transport.ts";
export type { DispatcherClient, Transport, TransportOptions } from "./transport.ts";
export { DispatcherError, isErrorCode } from "@dispatcher/core";
export type { ErrorCode, ErrorDetails } from "@dispatcher/core";

/** What each procedure takes: `RouterInputs["node"]["sync"]`. */
export type RouterInputs = inferRouterInputs<AppRouter>;
/** What each procedure answers: `RouterOutputs["stats"]["overview"]`. */
export type RouterOutputs = inferRouterOutputs<AppRouter>;
