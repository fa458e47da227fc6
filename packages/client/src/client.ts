import type { DispatcherError } from "@dispatcher/core";
import type { AppRouter } from "@dispatcher/server";
import { createTRPCUntypedClient, httpLink, httpSubscriptionLink, splitLink } from "@trpc/client";
import type { TRPCUntypedClient } from "@trpc/client";
import { EventSource } from "eventsource";
import superjson from "superjson";
import { fromWire } from "./errors.ts";
import { createClientOver } from "./transport.ts";
import type { DispatcherClient, TransportOptions } from "./transport.ts";

/** Long enough for a slow server to commit, short enough to notice a dead one. */
const TIMEOUT_DEFAULT_MS = 30_000;

export type ClientOptions = TransportOptions & {
  /** Where the server listens, such as `https://dispatcher.example.org`. */
  readonly url: string;
  /** A key, or a token of an issuer that the server trusts. Without one, only what anyone may call. */
  readonly key?: string;
  /** For one attempt. */
  readonly timeoutMs?: number;
  /** In place of the global one, for example with a proxy of one's own. */
  readonly fetch?: typeof globalThis.fetch;
};

type OnRefused = (error: DispatcherError) => void;

/** What a Dispatcher server says where it refuses a stream; null for anything else. */
async function readRefusal(response: Response): Promise<DispatcherError | null> {
  const body: unknown = await response.json().catch(() => null);
  const shape = body as { readonly error?: { readonly json?: { readonly data?: unknown } } } | null;
  return fromWire(shape?.error?.json?.data);
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
  const { url, key, timeoutMs = TIMEOUT_DEFAULT_MS } = options;
  const send = options.fetch ?? globalThis.fetch;
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const endpoint = { url: new URL("trpc", url.endsWith("/") ? url : `${url}/`).href, transformer: superjson };
  const calls = httpLink<AppRouter>({
    ...endpoint,
    headers,
    // tRPC describes fetch by the few members it uses; its types do not know exact optional properties.
    fetch: (input, init) => {
      const timeout = AbortSignal.timeout(timeoutMs);
      const signal = init?.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
      return send(input as string, { ...(init as RequestInit), signal });
    },
  });
  const listen = async (input: string | URL, init: object, onRefused: OnRefused): Promise<Response> => {
    const silence = new AbortController();
    const { signal, ...rest } = init as RequestInit;
    const timer = setTimeout(() => silence.abort(new DOMException("No answer in time.", "TimeoutError")), timeoutMs);
    try {
      const signals = signal ? [signal, silence.signal] : [silence.signal];
      const request = {
        ...rest,
        headers: { ...(rest.headers as object), ...headers },
        signal: AbortSignal.any(signals),
      };
      const response = await send(input, request);
      // An EventSource tells no more of a refusal than its status.
      const refusal = response.ok ? null : await readRefusal(response);
      if (refusal !== null) onRefused(refusal);
      return response;
    } finally {
      clearTimeout(timer);
    }
  };
  const untyped: TRPCUntypedClient<AppRouter> = createTRPCUntypedClient<AppRouter>({
    links: [
      splitLink({
        condition: ({ type }) => type === "subscription",
        true: httpSubscriptionLink<AppRouter, typeof EventSource>({
          ...endpoint,
          EventSource,
          eventSourceOptions: ({ op: { context } }) => ({
            fetch: (input: string | URL, init: object) => listen(input, init, context["onRefused"] as OnRefused),
          }),
        }),
        false: calls,
      }),
    ],
  });

  return createClientOver(
    {
      place: url,
      call: (type, path, input, callOptions) => untyped[type](path, input, callOptions),
      connect: (path, input, { onRefused, ...observer }) =>
        untyped.subscription(path, input, { ...observer, context: { onRefused } } as never),
    },
    options,
  );
}
