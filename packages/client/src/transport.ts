import type { AppRouter } from "@dispatcher/server";
import { createTRPCClientProxy } from "@trpc/client";
import type { TRPCUntypedClient } from "@trpc/client";
import { toDispatcherError } from "./errors.ts";
import type { CallOptions, Subscription } from "./procedures.ts";
import { DEFAULT_RETRY, isRepeatable, isWorthRetrying, pauseMs, retryAfterMsOf, wasRefusedUnread } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";
import { iterate, subscribe } from "./subscribe.ts";
import type { DispatcherClient } from "./router.ts";
import type { Observer, SubscribeOptions } from "./subscribe.ts";

/** One attempt to reach a procedure, however that is done. */
export type Transport = {
  /** For messages: where the procedures are. */
  readonly place: string;
  /** Rejects with a DispatcherError, or with what tRPC's own client throws. */
  readonly call: (type: "query" | "mutation", path: string, input: unknown, options?: CallOptions) => Promise<unknown>;
  /**
   * One connection: calls back until it fails, or until it is unsubscribed. Messages that have an id are `{ id, data }`.
   * `onRefused` may be told what the server says where it refuses, or why there is no key, before `onError` is called.
   */
  readonly connect: (
    path: string,
    input: unknown,
    observer: Observer & { readonly onRefused: (error: unknown) => void },
  ) => Subscription;
};

export type TransportOptions = {
  /** How often and how soon failed calls that are safe to repeat are tried again. */
  readonly retry?: Partial<RetryOptions>;
  /** 0 up to 1, for the jitter of retries. */
  readonly random?: () => number;
};

/** What `work` becomes, or a rejection with the signal's reason as soon as it aborts. */
export function untilAborted<Result>(work: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const time = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  return untilAborted(time, signal).finally(() => clearTimeout(timer));
}

/** The typed client over any transport, so that its retries, subscriptions and errors are the same whatever the way. */
export function createClientOver(transport: Transport, options: TransportOptions = {}): DispatcherClient {
  const { place, connect } = transport;
  const { random = Math.random } = options;
  const retry = { ...DEFAULT_RETRY, ...options.retry };

  const call = async (type: "query" | "mutation", path: string, args: unknown[]): Promise<unknown> => {
    const [input, callOptions] = args as [unknown, CallOptions | undefined];
    callOptions?.signal?.throwIfAborted();
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
  // What the proxy answers is what router.ts says: it makes a path of the names and calls the method by its kind.
  const proxy: unknown = createTRPCClientProxy(withRetries as unknown as TRPCUntypedClient<AppRouter>);
  return proxy as DispatcherClient;
}
