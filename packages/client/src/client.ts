import type { AppRouter } from "@dispatcher/server";
import { createTRPCClientProxy, createTRPCUntypedClient, httpLink } from "@trpc/client";
import type { TRPCClient, TRPCUntypedClient } from "@trpc/client";
import superjson from "superjson";
import { toDispatcherError } from "./errors.ts";
import { DEFAULT_RETRY, isRepeatable, isWorthRetrying, pauseMs } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";

/** Long enough for a slow server to commit, short enough to notice a dead one. */
const TIMEOUT_DEFAULT_MS = 30_000;

export type ClientOptions = {
  /** Where the server listens, such as `https://dispatcher.example.org`. */
  readonly url: string;
  /** A key, or a token of an issuer that the server trusts. Without one, only what anyone may call. */
  readonly key?: string;
  /** How often and how soon failed calls that are safe to repeat are tried again. */
  readonly retry?: Partial<RetryOptions>;
  /** For one attempt. */
  readonly timeoutMs?: number;
  /** In place of the global one, for example with a proxy of one's own. */
  readonly fetch?: typeof globalThis.fetch;
  /** 0 up to 1, for the jitter of retries. */
  readonly random?: () => number;
};

/** The procedures of the server, by name: `client.stats.overview.query()`. */
export type DispatcherClient = TRPCClient<AppRouter>;

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

/**
 * A typed client of a Dispatcher server. Every failure is a `DispatcherError` with a code, except an abort by the caller's
 * own signal, which rejects with the signal's reason. Calls that are safe to repeat are retried with backoff and jitter.
 *
 * @example
 * const client = createDispatcherClient({ url: "http://127.0.0.1:8001" });
 * const { assets } = await client.asset.list.query({ incomplete: true });
 */
export function createDispatcherClient(options: ClientOptions): DispatcherClient {
  const { url, key, timeoutMs = TIMEOUT_DEFAULT_MS, random = Math.random } = options;
  const retry = { ...DEFAULT_RETRY, ...options.retry };
  const send = options.fetch ?? globalThis.fetch;
  const untyped: TRPCUntypedClient<AppRouter> = createTRPCUntypedClient<AppRouter>({
    links: [
      httpLink({
        url: new URL("trpc", url.endsWith("/") ? url : `${url}/`).href,
        transformer: superjson,
        headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
        // tRPC describes fetch by the few members it uses; its types do not know exact optional properties.
        fetch: (input, init) => {
          const timeout = AbortSignal.timeout(timeoutMs);
          const signal = init?.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
          return send(input as string, { ...(init as RequestInit), signal });
        },
      }),
    ],
  });

  const call = async (type: "query" | "mutation", path: string, args: unknown[]): Promise<unknown> => {
    const [input, callOptions] = args as [unknown, { signal?: AbortSignal } | undefined];
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await untyped[type](path, input, callOptions);
      } catch (cause) {
        callOptions?.signal?.throwIfAborted();
        const error = toDispatcherError(cause, url);
        if (attempt >= retry.retries || !isRepeatable(type, path) || !isWorthRetrying(error)) throw error;
        await pause(pauseMs(attempt, retry, random), callOptions?.signal);
      }
    }
  };

  const withRetries = {
    query: (path: string, ...args: unknown[]) => call("query", path, args),
    mutation: (path: string, ...args: unknown[]) => call("mutation", path, args),
  };
  return createTRPCClientProxy(withRetries as unknown as TRPCUntypedClient<AppRouter>);
}
