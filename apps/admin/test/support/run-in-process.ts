/** The admin command as a process would run it, without one: quick, and what it wrote is at hand. */
import { PassThrough, Writable } from "node:stream";
import { Stopped } from "../../src/io.ts";
import { runAdmin } from "../../src/run-admin.ts";

export type Ran = { readonly status: number; readonly out: string; readonly err: string };

export type RunOptions = {
  readonly env?: Readonly<Record<string, string>>;
  /** What is typed, where there is a terminal to type on. */
  readonly typed?: string;
  /** Of the terminal; without it, output goes to a pipe. */
  readonly columns?: number;
  /** Called with all that was written so far, each time something is. */
  readonly onOut?: (out: string, stop: () => void) => void;
};

class Collected extends Writable {
  text = "";
  readonly isTTY: boolean;
  readonly columns: number | undefined;
  readonly #onText: (text: string) => void;

  constructor(columns: number | undefined, onText: (text: string) => void = () => {}) {
    super({ decodeStrings: false });
    this.isTTY = columns !== undefined;
    this.columns = columns;
    this.#onText = onText;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    this.#onText(this.text);
    done();
  }
}

/** Run it to its end. */
export async function runInProcess(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { env = {}, typed, columns, onOut } = options;
  const stopping = new AbortController();
  const stop = (): void => stopping.abort(new Stopped(130));
  const stdout = new Collected(columns, (text) => onOut?.(text, stop));
  const stderr = new Collected(undefined);
  const stdin = Object.assign(new PassThrough(), { isTTY: typed !== undefined });
  stdin.end(typed ?? "");
  const io = {
    env,
    folder: import.meta.dirname,
    stdin,
    stdout,
    stderr,
    signal: stopping.signal,
  } as unknown as Parameters<typeof runAdmin>[1];
  const status = await runAdmin(words, io);
  return { status, out: stdout.text, err: stderr.text };
}
