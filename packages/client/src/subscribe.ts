/**
 * Subscriptions that go on: over a lost connection, a server that restarts or another one behind the same name. Each message has
 * an id, and whoever connects again asks for what follows the last one that came, so that nothing is lost or told twice.
 */
import { toDispatcherError } from "./errors.ts";
import type { Subscription } from "./procedures.ts";
import { isWorthRetrying, pauseMs } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";

/** SubscriptionObserver, whatever its messages are. */
export type Observer = {
  readonly signal?: AbortSignal | undefined;
  readonly onStarted?: () => void;
  readonly onData?: (message: unknown) => void;
  readonly onError?: (error: unknown) => void;
  readonly onStopped?: () => void;
  readonly onComplete?: () => void;
  readonly onConnectionStateChange?: (state: {
    readonly type: "state";
    readonly state: "connecting";
    readonly error: unknown;
  }) => void;
};

export type SubscribeOptions = {
  /**
   * One connection: calls back until it fails, or until it is unsubscribed. `onRefused` is told what the server says where it
   * refuses it, or why there is no key, before `onError` is called.
   */
  readonly connect: (
    input: unknown,
    observer: Observer & { readonly onRefused: (error: unknown) => void },
  ) => Subscription;
  readonly url: string;
  readonly retry: RetryOptions;
  readonly random: () => number;
};

/** Subscribe and call back, connecting again for as long as that may help. Its pauses grow as those of calls do. */
export function subscribe(options: SubscribeOptions, input: unknown, observer: Observer): Subscription {
  const { connect, url, retry, random } = options;
  let lastEventId: string | null = null;
  let attempt = 0;
  let isOver = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let current: Subscription | null = null;

  const unsubscribe = (): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    observer.signal?.removeEventListener("abort", unsubscribe);
    current?.unsubscribe();
    observer.onComplete?.();
  };

  const open = (): void => {
    let hasFailed = false;
    let refusal: unknown = null;
    current = connect(lastEventId === null ? input : { ...(input as object | undefined), lastEventId }, {
      onRefused: (error) => {
        refusal = error;
      },
      onStarted: () => {
        if (!isOver) observer.onStarted?.();
      },
      onData: (message) => {
        if (isOver) return;
        attempt = 0;
        if (isTracked(message)) lastEventId = message.id;
        observer.onData?.(message);
      },
      onStopped: () => {
        if (isOver) return;
        observer.onStopped?.();
        unsubscribe();
      },
      onConnectionStateChange: (state) => {
        if (!isOver) observer.onConnectionStateChange?.(state);
      },
      onError: (cause) => {
        if (isOver || hasFailed) return;
        hasFailed = true;
        const error = refusal ?? toDispatcherError(cause, url);
        if (!isWorthRetrying(error)) {
          isOver = true;
          observer.signal?.removeEventListener("abort", unsubscribe);
          observer.onError?.(error);
          return;
        }
        observer.onConnectionStateChange?.({ type: "state", state: "connecting", error });
        timer = setTimeout(open, pauseMs(attempt, retry, random));
        attempt += 1;
      },
    });
  };

  if (observer.signal?.aborted === true) {
    unsubscribe();
    return { unsubscribe };
  }
  observer.signal?.addEventListener("abort", unsubscribe, { once: true });
  open();
  return { unsubscribe };
}

function isTracked(message: unknown): message is { readonly id: string } {
  return typeof message === "object" && message !== null && "id" in message && typeof message.id === "string";
}

/** The same as an iterable, for a loop. Leaving the loop, or the signal, ends it; what ends it else is thrown. */
export async function* iterate(
  options: SubscribeOptions,
  input: unknown,
  { signal }: { readonly signal?: AbortSignal | undefined },
): AsyncGenerator<unknown, void, void> {
  const waiting: unknown[] = [];
  let end: { readonly error?: unknown } | null = null;
  let wake: (() => void) | null = null;
  const finish = (how: { readonly error?: unknown }): void => {
    end ??= how;
    wake?.();
  };
  const subscription = subscribe(options, input, {
    signal,
    onData: (message) => {
      waiting.push(message);
      wake?.();
    },
    onError: (error) => finish({ error }),
    onComplete: () => finish({}),
  });
  try {
    for (;;) {
      while (waiting.length > 0) yield waiting.shift();
      const how = end as { readonly error?: unknown } | null;
      if (how !== null && "error" in how) throw how.error;
      if (how !== null) return;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    subscription.unsubscribe();
  }
}
