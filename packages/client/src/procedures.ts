/** How procedures of each kind are called. What there is to call is in router.ts. */

/** For one call. */
export type CallOptions = {
  /** Ends the call and its retries; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** For one attempt; else the client's own. */
  readonly timeoutMs?: number | undefined;
};

/** An input that may be left out is left out, or undefined. */
type Arguments<Input, Options> = undefined extends Input
  ? [input?: Input, options?: Options]
  : [input: Input, options?: Options];

/** A procedure that reads. */
export interface QueryProcedure<Input, Output> {
  /** Ask once, and again while that may help. Rejects with a `DispatcherError`, or with the reason of an abort. */
  readonly query: (...args: Arguments<Input, CallOptions>) => Promise<Output>;
}

/** A procedure that changes something. */
export interface MutationProcedure<Input, Output> {
  /**
   * Have it done. Sent again after a failure only where twice is as good as once. Rejects with a `DispatcherError`, or with the
   * reason of an abort.
   */
  readonly mutate: (...args: Arguments<Input, CallOptions>) => Promise<Output>;
}

/** Who is told what happens to a subscription. */
export type SubscriptionObserver<Message> = {
  /** Ends the subscription. */
  readonly signal?: AbortSignal | undefined;
  /** The connection is open: for the first time, and again after each that was lost. */
  readonly onStarted?: () => void;
  readonly onData?: (message: Message) => void;
  /** It has ended for good: a `DispatcherError` that waiting would not cure, or what the key's function threw. */
  readonly onError?: (error: Error) => void;
  /** The server has ended it. */
  readonly onStopped?: () => void;
  /** It was ended, by either side, without an error. */
  readonly onComplete?: () => void;
  /** `connecting`: it was lost, with the error, and is being opened again by itself. `pending`: it is open. */
  readonly onConnectionStateChange?: (state: {
    readonly type: "state";
    readonly state: "idle" | "connecting" | "pending";
    readonly error: unknown;
  }) => void;
};

/** For a subscription that is read in a loop. */
export type LoopOptions = {
  /** Ends the loop. */
  readonly signal?: AbortSignal | undefined;
} & { readonly [Name in Exclude<keyof SubscriptionObserver<unknown>, "signal">]?: never };

/** A subscription under way. */
export type Subscription = { readonly unsubscribe: () => void };

/** A procedure whose answer never ends. */
export interface SubscriptionProcedure<Input, Message> {
  /**
   * Hear each message, over lost connections and restarts of the server: each has an id, and whoever connects again goes on
   * behind the last one that came.
   */
  readonly subscribe: {
    /** In a loop: leaving it, or the signal, ends the subscription; what ends it for good is thrown. */
    (input?: Input, options?: LoopOptions): AsyncGenerator<Message, void, void>;
    /** By being called back. */
    (input: Input, observer: SubscriptionObserver<Message>): Subscription;
  };
}
