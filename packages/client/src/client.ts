import type { DispatcherError } from "@dispatcher/core";
import type { AppRouter } from "@dispatcher/server";
import { createTRPCUntypedClient, httpBatchLink, httpLink, httpSubscriptionLink, splitLink } from "@trpc/client";
import type { TRPCUntypedClient } from "@trpc/client";
import { EventSource } from "eventsource";
import superjson from "superjson";
import { fromWire, toDispatcherError, unreachable } from "./errors.ts";
import type { DispatcherClient } from "./router.ts";
import { createClientOver, untilAborted } from "./transport.ts";
import type { Transport, TransportOptions } from "./transport.ts";

/** Long enough for a slow server to commit, short enough to notice a dead one. */
const TIMEOUT_DEFAULT_MS = 30_000;
/** What a server takes unless it is set otherwise (`DISPATCHER_BATCH_MAX`). More are refused as a whole. */
const BATCH_CALLS_DEFAULT = 50;
/** Node refuses a request with more than 16 KiB of headers, its address among them. */
const BATCH_URL_MAX = 12_000;

/** How calls travel together. */
export type BatchOptions = {
  /** Calls in one request, at most: 50 by default, which is what a server takes unless it is set otherwise. */
  readonly maxCalls?: number;
};

export type ClientOptions = TransportOptions & {
  /** Where the server listens, such as `https://dispatcher.example.org`. A path in front of it is kept. */
  readonly url: string;
  /**
   * A key, or a token of an issuer that the server trusts. Without one, only what anyone may call. A function is asked before
   * each attempt and each connection, so that tokens may change; what it throws, the call rejects with.
   */
  readonly key?: string | (() => string | Promise<string>);
  /** For one attempt, 30 s by default; for a subscription, until it is open. */
  readonly timeoutMs?: number;
  /**
   * Send calls that are made at the same moment in one request. A call then waits for the slowest of its request. Off by
   * default.
   */
  readonly batch?: boolean | BatchOptions;
  /** In place of the global one, for example with a proxy of one's own. */
  readonly fetch?: typeof globalThis.fetch;
};

type Headers = Readonly<Record<string, string>>;
type OnRefused = (error: unknown) => void;

/** What a Dispatcher server says where it refuses a stream; null for anything else. */
async function readRefusal(response: Response): Promise<DispatcherError | null> {
  const body: unknown = await response.json().catch(() => null);
  const shape = body as { readonly error?: { readonly json?: { readonly data?: unknown } } } | null;
  return fromWire(shape?.error?.json?.data);
}

/** Of a call on its way, which were made for it. */
function headersOf({ context }: { readonly context: Readonly<Record<string, unknown>> }): Headers {
  return context["headers"] as Headers;
}

/** A signal that aborts after `ms`, unless it is let go of before. */
function startTimeout(ms: number): { readonly signal: AbortSignal; readonly clear: () => void } {
  const aborter = new AbortController();
  const timer = setTimeout(() => aborter.abort(new DOMException("No answer in time.", "TimeoutError")), ms);
  return { signal: aborter.signal, clear: () => clearTimeout(timer) };
}

/**
 * A typed client of a Dispatcher server. Every failure is a `DispatcherError` with a code, except an abort by the caller's
 * own signal, which rejects with the signal's reason. Calls that are safe to repeat are retried with backoff and jitter;
 * subscriptions go on behind the last message that came, for as long as nobody ends them.
 *
 * @example
 * const client = createDispatcherClient({ url: "http://127.0.0.1:8001" });
 * const { assets } = await client.asset.list.query({ incomplete: true });
 */
export function createDispatcherClient(options: ClientOptions): DispatcherClient {
  const { url, key, batch = false } = options;
  const send = options.fetch ?? globalThis.fetch;
  const readHeaders = async (): Promise<Headers> => {
    const token = typeof key === "function" ? await key() : key;
    return token === undefined ? {} : { authorization: `Bearer ${token}` };
  };
  const endpoint = {
    url: new URL("trpc", url.endsWith("/") ? url : `${url}/`).href,
    transformer: superjson,
    // tRPC describes fetch by the few members it uses; its types do not know exact optional properties.
    fetch: (input: string | URL | Request, init?: object) => send(input, init),
  };
  const { maxCalls = BATCH_CALLS_DEFAULT } = typeof batch === "object" ? batch : {};
  const calls =
    batch === false
      ? httpLink<AppRouter>({ ...endpoint, headers: ({ op }) => headersOf(op) })
      : httpBatchLink<AppRouter>({
          ...endpoint,
          headers: ({ opList }) => headersOf(opList[0]),
          maxItems: maxCalls,
          maxURLLength: BATCH_URL_MAX,
        });
  const listen = async (input: string | URL, init: object, onRefused: OnRefused): Promise<Response> => {
    const { signal, ...rest } = init as RequestInit;
    const timeout = startTimeout(options.timeoutMs ?? TIMEOUT_DEFAULT_MS);
    try {
      const either = AbortSignal.any(signal ? [signal, timeout.signal] : [timeout.signal]);
      let headers: Headers;
      try {
        headers = await untilAborted(readHeaders(), either);
      } catch (cause) {
        if (!either.aborted) onRefused(cause);
        // An EventSource goes on by itself after a fetch that fails, and ends with an answer like this one.
        return new Response(null, { status: 401 });
      }
      const request = { ...rest, headers: { ...(rest.headers as object), ...headers }, signal: either };
      const response = await send(input, request);
      // An EventSource tells no more of a refusal than its status.
      const refusal = response.ok ? null : await readRefusal(response);
      if (refusal !== null) onRefused(refusal);
      return response;
    } finally {
      timeout.clear();
    }
  };
  const untyped: TRPCUntypedClient<AppRouter> = createTRPCUntypedClient<AppRouter>({
    links: [
      splitLink({
        condition: ({ type }) => type === "subscription",
        true: httpSubscriptionLink<AppRouter, typeof EventSource>({
          url: endpoint.url,
          transformer: superjson,
          EventSource,
          eventSourceOptions: ({ op: { context } }) => ({
            fetch: (input: string | URL, init: object) => listen(input, init, context["onRefused"] as OnRefused),
          }),
        }),
        false: calls,
      }),
    ],
  });

  const call: Transport["call"] = async (type, path, input, callOptions = {}) => {
    const { signal, timeoutMs = options.timeoutMs ?? TIMEOUT_DEFAULT_MS } = callOptions;
    const timeout = startTimeout(timeoutMs);
    const either = AbortSignal.any(signal ? [signal, timeout.signal] : [timeout.signal]);
    try {
      const headers = await untilAborted(readHeaders(), either);
      // A fetch of the caller's own may not heed its signal.
      return await untilAborted(untyped[type](path, input, { signal: either, context: { headers } }), either);
    } catch (cause) {
      signal?.throwIfAborted();
      throw timeout.signal.aborted ? unreachable(timeout.signal.reason as Error, url) : toDispatcherError(cause, url);
    } finally {
      timeout.clear();
    }
  };
  return createClientOver(
    {
      place: url,
      call,
      connect: (path, input, { onRefused, ...observer }) =>
        untyped.subscription(path, input, { ...observer, context: { onRefused } } as never),
    },
    options,
  );
}
