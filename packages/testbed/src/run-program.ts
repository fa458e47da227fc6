import { startChild } from "./child.ts";
import type { ChildOptions, Program } from "./child.ts";
import { databaseSettings } from "./server-process.ts";
import type { DatabaseChoice } from "./server-process.ts";

export type ProgramResult = {
  /** Null when a signal, or the timeout, ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
};

export type RunOptions = ChildOptions & {
  readonly timeoutMs?: number;
  /** Stops the program as SIGTERM does. */
  readonly signal?: AbortSignal;
};

/** Run one of the programs to its end, however that is. @throws the signal's reason, when the program is gone */
export async function runProgram(
  program: Program,
  { timeoutMs = 60_000, signal, ...options }: RunOptions = {},
): Promise<ProgramResult> {
  signal?.throwIfAborted();
  const child = startChild(program, options);
  const timer = setTimeout(() => void child.kill(), timeoutMs);
  const stop = (): void => void child.stop();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const { code } = await child.exited;
    signal?.throwIfAborted();
    return { exitCode: code, stdout: asText(child.output), stderr: asText(child.errors) };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** Run an admin command on the database of a server. */
export function runAdmin(
  args: readonly string[],
  { database, env, ...options }: Omit<RunOptions, "args"> & { readonly database: DatabaseChoice },
): Promise<ProgramResult> {
  return runProgram("admin", { ...options, args, env: { ...databaseSettings(database), ...env } });
}

function asText(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
