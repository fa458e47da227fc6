/**
 * One of the project's programs as a child process, made so that it never outlives its parent: it is stopped when it is
 * disposed of, and stops in order by itself when this process is gone, in whatever way (end-with-parent.ts). It leads a
 * process group of its own, so that a Ctrl-C in the terminal reaches only the parent, which then stops its children in
 * the right order.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "./wait-for.ts";
import type { WaitOptions } from "./wait-for.ts";

export type Program = "server" | "agent" | "admin" | "demo";
export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };
export type Environment = Readonly<Record<string, string>>;
/** A line of JSON from a program's log. */
export type LoggedEvent = { readonly event: string; readonly [field: string]: unknown };

export type ChildOptions = {
  readonly args?: readonly string[];
  /** On top of this process's environment, less every setting of the project's own. */
  readonly env?: Environment;
};

export type Child = AsyncDisposable & {
  readonly pid: number;
  /** Lines of stdout and of stderr, in the order each came. */
  readonly output: readonly string[];
  readonly errors: readonly string[];
  /** Lines of stdout that are JSON with an `event`. */
  readonly events: readonly LoggedEvent[];
  /** Never rejects. All output has been read when it resolves. */
  readonly exited: Promise<Exit>;
  readonly isRunning: boolean;
  /** SIGKILL by default. Resolves when the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<Exit>;
  /** SIGTERM, and SIGKILL when that has not helped in time. */
  stop(): Promise<Exit>;
  /**
   * The first event of that name, logged already or to come.
   * @throws ProgramFailure when the child ends first; Error when the time is over
   */
  waitForEvent(event: string, options?: WaitOptions): Promise<LoggedEvent>;
};

const SHOWN_LINES = 10;

/** A program that did not do what it was started for. The message has its last lines. */
export class ProgramFailure extends Error {
  override readonly name = "ProgramFailure";
  /** Null when a signal ended it, or when it has not ended. */
  readonly exitCode: number | null;

  constructor(what: string, exitCode: number | null, lines: readonly string[]) {
    const shown = lines.flatMap((line) => line.split("\n")).filter((line) => line.trim() !== "");
    super([what, ...shown.slice(-SHOWN_LINES).map((line) => `  ${line}`)].join("\n"));
    this.exitCode = exitCode;
  }
}

const ENTRY = fileURLToPath(new URL("../../../bin/dispatcher.mjs", import.meta.url));
const PRELOAD = new URL(`./end-with-parent${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url).href;

/** Longer than an agent's own time to finish fetches, and than PostgreSQL's shutdown on a slow disk. */
const STOP_PATIENCE_MS = 30_000;

/** Settings of the caller's shell, or of a test runner, would change what the children do. */
const FOREIGN_SETTING =
  /^(DISPATCHER_|DATABASE_URL|RESCUE_API_|PRIORIZER_|LOG_LEVEL|DEBUG$|NODE_OPTIONS$|NODE_ENV$|VITEST)/;

export function childEnvironment(env: Environment = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !FOREIGN_SETTING.test(name));
  // Nor does a file of settings that lies in the working directory.
  return { ...Object.fromEntries(inherited), DISPATCHER_ENV_FILE: "none", ...env };
}

export function startChild(program: Program, options: ChildOptions = {}): Child {
  return startScript(ENTRY, { ...options, args: [program, ...(options.args ?? [])] });
}

/** What `startChild` does, for any script: a program that belongs to a test. */
export function startScript(script: string, { args = [], env = {} }: ChildOptions): Child {
  const child = spawn(process.execPath, ["--import", PRELOAD, script, ...args], {
    env: childEnvironment(env),
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  // The end of a child closes the pipe from this side's view in an error; its exit says all there is to say.
  child.stdin.on("error", () => {});

  const output: string[] = [];
  const errors: string[] = [];
  const events: LoggedEvent[] = [];
  createInterface(child.stdout).on("line", (line) => {
    output.push(line);
    const event = readEvent(line);
    if (event !== null) events.push(event);
  });
  createInterface(child.stderr).on("line", (line) => errors.push(line));

  let isRunning = true;
  const exited = new Promise<Exit>((resolve) => {
    child.once("error", (cause) => errors.push(String(cause)));
    // "close" comes behind "exit", when the pipes are drained, and comes as well when the spawn failed.
    child.once("close", (code, signal) => {
      isRunning = false;
      resolve({ code, signal });
    });
  });

  const kill = (signal: NodeJS.Signals = "SIGKILL"): Promise<Exit> => {
    child.kill(signal);
    return exited;
  };
  const stop = async (): Promise<Exit> => {
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_PATIENCE_MS);
    try {
      return await kill("SIGTERM");
    } finally {
      clearTimeout(timer);
    }
  };
  const waitForEvent = (event: string, waitOptions?: WaitOptions): Promise<LoggedEvent> =>
    waitFor(
      `the event ${event}`,
      () => {
        const found = events.find((one) => one.event === event);
        if (found === undefined && !isRunning) {
          const name = [basename(script), ...args.slice(0, 2)].join(" ");
          throw new ProgramFailure(`${name} ended before ${event}.`, child.exitCode, [...output, ...errors]);
        }
        return found;
      },
      waitOptions,
    );

  return {
    // Absent only when the spawn failed; then `exited` resolves and nobody asks for it.
    pid: child.pid ?? -1,
    output,
    errors,
    events,
    exited,
    get isRunning() {
      return isRunning;
    },
    kill,
    stop,
    waitForEvent,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

function readEvent(line: string): LoggedEvent | null {
  if (!line.startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(line);
    return isLoggedEvent(value) ? value : null;
  } catch {
    return null;
  }
}

function isLoggedEvent(value: unknown): value is LoggedEvent {
  return typeof value === "object" && value !== null && "event" in value && typeof value.event === "string";
}
