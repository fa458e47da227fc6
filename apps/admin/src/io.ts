import { createInterface } from "node:readline/promises";
import type { Readable, Writable } from "node:stream";
import { DispatcherError } from "@dispatcher/core";

/** Ended by Ctrl-C, as shells count it. */
export const EXIT_INTERRUPTED = 130;
/** A command line that cannot be meant: EX_USAGE of sysexits.h. */
export const EXIT_USAGE = 64;

/** What the command touches of its process, so that a test can be one. */
export type Io = {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where it was started: its `.env` is read. */
  readonly folder: string;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** What was asked for, and nothing else. */
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** Words for people. */
  readonly stderr: Writable & { readonly isTTY?: boolean };
  /** Aborts with a `Stopped` when somebody wants the command to end, in order. */
  readonly signal: AbortSignal;
};

/** Why a command ends before its work is done. */
export class Stopped extends Error {
  override readonly name = "Stopped";
  readonly exitStatus: number;

  constructor(exitStatus: number) {
    super("The command was stopped.");
    this.exitStatus = exitStatus;
  }
}

/** A command line that cannot be meant: one sentence that says why, and what to write. */
export class UsageFault extends Error {
  override readonly name = "UsageFault";
}

/** What `work` comes to, or the signal's reason as soon as it aborts; what is under way is left to itself then. */
export async function untilStopped<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  work.catch(() => {});
  const stopped = Promise.withResolvers<never>();
  const stop = (): void => stopped.reject(signal.reason as Error);
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work, stopped.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/**
 * Write, and wait until it is written: so that a list is read as fast as it is wanted and needs no memory, and a fault is told.
 * @throws Stopped once the reader has gone, as `head` does, which is no fault; DispatcherError FILE_UNWRITABLE
 */
export async function write(stream: Writable, text: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (text === "") return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.write(text, (error) => {
    if (error === null || error === undefined) resolve();
    else reject(faultOf(error));
  });
  await untilStopped(promise, signal);
}

function faultOf(error: NodeJS.ErrnoException): Error {
  if (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED") return new Stopped(0);
  const detail = `Standard output cannot be written (${error.code ?? error.message}).`;
  return new DispatcherError("FILE_UNWRITABLE", detail, { cause: error });
}

/** Ask on the terminal; anything but a yes is a no, the end of the input too. @throws the signal's reason */
export async function askOnTerminal({ stdin, stderr, signal }: Io, question: string): Promise<boolean> {
  const terminal = createInterface({ input: stdin, output: stderr });
  const stopping = new AbortController();
  // While a line is read, Ctrl-C is a key like others.
  terminal.on("SIGINT", () => stopping.abort(new Stopped(EXIT_INTERRUPTED)));
  const either = AbortSignal.any([signal, stopping.signal]);
  const hasEnded = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  try {
    const answer = await Promise.race([terminal.question(`${question} (yes/no) `, { signal: either }), hasEnded]);
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    either.throwIfAborted();
    throw error;
  } finally {
    terminal.close();
  }
}
