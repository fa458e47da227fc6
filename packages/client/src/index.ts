export { createDispatcherClient } from "./client.ts";
export type { BatchOptions, ClientOptions } from "./client.ts";
export type {
  CallOptions,
  LoopOptions,
  MutationProcedure,
  QueryProcedure,
  Subscription,
  SubscriptionObserver,
  SubscriptionProcedure,
} from "./procedures.ts";
export type { DispatcherClient, RouterInputs, RouterOutputs } from "./router.ts";
export type { RetryOptions } from "./retry.ts";
export { DispatcherError, isDispatcherError, isErrorCode } from "@dispatcher/core";
export type { ErrorCode, ErrorDetails, ErrorOf } from "@dispatcher/core";
export type { Observer } from "./subscribe.ts";
export { createClientOver } from "./transport.ts";
export type { Transport, TransportOptions } from "./transport.ts";
