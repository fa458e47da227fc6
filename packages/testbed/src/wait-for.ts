import { setTimeout as wait } from "node:timers/promises";

export type WaitOptions = {
  /** Too small: a busy machine fails. Too large: a real fault is told late. */
  readonly timeoutMs?: number;
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
};

type Empty = false | null | undefined;

/**
 * Ask `condition` again and again until it answers something other than false, null or undefined; returns that.
 * @throws Error that names `what` when the time is over; what `condition` throws; the signal's reason
 */
export async function waitFor<Answer>(
  what: string,
  condition: () => Empty | Answer | Promise<Empty | Answer>,
  { timeoutMs = 30_000, everyMs = 25, signal }: WaitOptions = {},
): Promise<Answer> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const answer = await condition();
    if (answer !== false && answer !== null && answer !== undefined) {
      return answer;
    }
    if (performance.now() >= deadlineMs) throw new Error(`Waited ${timeoutMs} ms in vain for ${what}.`);
    // It rejects only when the signal aborts; the reason is thrown above.
    await wait(everyMs, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  }
}
