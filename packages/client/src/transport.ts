import type { DispatcherError } from "@dispatcher/core";
import type { AppRouter } from "@dispatcher/server";
import { createTRPCClientProxy } from "@trpc/client";
import type { TRPCClient, TRPCUntypedClient } from "@trpc/client";
import { toDispatcherError } from "./errors.ts";
import { DEFAULT_RETRY, isRepeatable, isWorthRetrying, pauseMs, retryAfterMsOf, wasRefusedUnread } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";
import { iterate, subscribe } from "./subscribe.ts";
import type { Observer, SubscribeOptions, Subscription } from "./subscribe.ts";

/** The procedures of the server, by name: `client.stats.overview.query()`. */
export type DispatcherClient = TRPCClient<AppRouter>;

/** One attempt to reach a procedure, however that is done. */
export type Transport = {
  /** For messages: where the procedures are. */
  readonly place: string;
  /** Rejects with a DispatcherError, or with what tRPC's own client throws. */
  readonly call: (
    type: "query" | "mutation",
    path: string,
    input: unknown,
    options: { readonly signal?: AbortSignal } | undefined,
  ) => Promise<unknown>;
  /**
   * One connection: calls back until it fails, or until it is unsubscribed. Messages that have an id are `{ id, data }`.
   * `onRefused` may be told what the server says where it refuses, before `onError` is called.
   */
  readonly connect: (
    path: string,
    input: unknown,
    observer: Observer & { readonly onRefused: (error: DispatcherError) => void },
  ) => Subscription;
};

export type TransportOptions = {
  /** How often and how soon failed calls that are safe to repeat are tried again. */
  readonly retry?: Partial<RetryOptions>;
  /** 0 up to 1, for the jitter of retries. */
  readonly random?: () => number;
};

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** The typed client over any transport, so that its retries, subscriptions and errors are the same whatever the way. */
export function createClientOver(transport: Transport, options: TransportOptions = {}): DispatcherClient {
  const { place, connect } = transport;
  const { random = Math.random } = options;
  const retry = { ...DEFAULT_RETRY, ...options.retry };

  const call = async (type: "query" | "mutation", path: string, args: unknown[]): Promise<unknown> => {
    const [input, callOptions] = args as [unknown, { signal?: AbortSignal } | undefined];
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await transport.call(type, path, input, callOptions);
      } catch (cause) {
        callOptions?.signal?.throwIfAborted();
        const error = toDispatcherError(cause, place);
        const isSafe = isRepeatable(type, path) || wasRefusedUnread(error);
        if (attempt >= retry.retries || !isSafe || !isWorthRetrying(error)) throw error;
        const askedMs = retryAfterMsOf(error);
        // Whoever is told to wait longer than it is ready to wait is told so at once.
        if (askedMs > retry.maxMs) throw error;
        await pause(Math.max(askedMs, pauseMs(attempt, retry, random)), callOptions?.signal);
      }
    }
  };

  const subscriptionsOf = (path: string): SubscribeOptions => ({
    connect: (input, observer) => connect(path, input, observer),
    url: place,
    retry,
    random,
  });
  const withRetries = {
    subscription: (path: string, input?: unknown, observer: Observer = {}) =>
      Object.keys(observer).some((name) => name.startsWith("on"))
        ? subscribe(subscriptionsOf(path), input, observer)
        : iterate(subscriptionsOf(path), input, observer),
    query: (path: string, ...args: unknown[]) => call("query", path, args),
    mutation: (path: string, ...args: unknown[]) => call("mutation", path, args),
  };
  return createTRPCClientProxy(withRetries as unknown as TRPCUntypedClient<AppRouter>);
}
