import { createClientOver } from "@dispatcher/client";
import type { DispatcherClient, Observer } from "@dispatcher/client";
import { createAdminCallers, fromCaller } from "@dispatcher/server/local";
import type { Caller, Log, ServerConfig, Storage } from "@dispatcher/server/local";

type Procedure = (input: unknown) => Promise<unknown>;

/** By its path, such as `asset.list`. */
function procedureOf(caller: Caller, path: string): Procedure {
  return path.split(".").reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], caller) as Procedure;
}

/**
 * The typed client on a database, with no server in between: the same procedures, errors, retries and subscriptions as over
 * the network, with the rights of an administrator.
 */
export function createLocalClient(config: ServerConfig, storage: Storage, log: Log): DispatcherClient {
  const callerUntil = createAdminCallers(config, storage, log);
  const caller = callerUntil();
  return createClientOver({
    place: "the database",
    call: async (_type, path, input) => {
      try {
        return await procedureOf(caller, path)(input);
      } catch (error) {
        throw fromCaller(error);
      }
    },
    connect: (path, input, observer) => {
      const ending = new AbortController();
      void follow(procedureOf(callerUntil(ending.signal), path), input, { observer, signal: ending.signal });
      return { unsubscribe: () => ending.abort() };
    },
  });
}

async function follow(
  procedure: Procedure,
  input: unknown,
  { observer, signal }: { readonly observer: Observer; readonly signal: AbortSignal },
): Promise<void> {
  try {
    const messages = (await procedure(input)) as AsyncIterable<readonly [id: string, data: unknown]>;
    observer.onStarted?.();
    for await (const [id, data] of messages) {
      if (signal.aborted) return;
      observer.onData?.({ id, data });
    }
    if (!signal.aborted) observer.onStopped?.();
  } catch (error) {
    if (!signal.aborted) observer.onError?.(fromCaller(error));
  }
}
