/** Where an exported state is written to and read from: a file, or the program's own pipes. */
import { constants } from "node:fs";
import { lstat, open, realpath, rename, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import type { Readable, Writable } from "node:stream";
import { addAbortSignal } from "node:stream";
import { DispatcherError } from "@dispatcher/core";

/** Takes bytes one after the other. Without `finish` nothing is left of them, unless they went into a pipe. */
export type StateSink = AsyncDisposable & {
  write(bytes: Uint8Array): Promise<void>;
  /** It is all there, and stays there when the machine stops. */
  finish(): Promise<void>;
};

const FAULTS: Readonly<Record<string, string>> = {
  EACCES: "this user may not do that",
  EDQUOT: "this user may store no more",
  EISDIR: "it is a folder",
  ENOENT: "there is no such file or folder",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of its path is not a folder",
  EPERM: "this user may not do that",
  EPIPE: "whoever read it has gone",
  EROFS: "the disk is read-only",
};

function showFault(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  return FAULTS[code] ?? code;
}

function unwritable(label: string, why: string, cause?: unknown): DispatcherError {
  return new DispatcherError("FILE_UNWRITABLE", `${label} cannot be written: ${why}.`, { cause });
}

function unreadable(label: string, cause: unknown): DispatcherError {
  return new DispatcherError("FILE_UNREADABLE", `${label} cannot be read: ${showFault(cause)}.`, { cause });
}

/**
 * A file that has its name once it is whole: until then it is `FILE.part`, which only its user may read.
 * @throws DispatcherError FILE_UNWRITABLE, as its methods do
 */
export async function createStateFile(path: string): Promise<StateSink> {
  try {
    const target = await resolveTarget(path);
    const part = `${target}.part`;
    // What an export that was killed has left. One that still runs finds at its end that the name is no longer its own.
    await rm(part, { force: true });
    return sinkOf(await open(part, "wx", 0o600), { path, part, target });
  } catch (error) {
    throw error instanceof DispatcherError ? error : unwritable(path, showFault(error), error);
  }
}

/** Where links lead. What is no file, such as /dev/null, would be lost by giving its name to one. */
async function resolveTarget(path: string): Promise<string> {
  let found;
  try {
    found = await stat(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return path;
    throw error;
  }
  if (!found.isFile())
    throw unwritable(path, found.isDirectory() ? "it is a folder" : "it is no file; for a pipe, leave --out away");
  return realpath(path);
}

function sinkOf(
  file: FileHandle,
  { path, part, target }: { readonly path: string; readonly part: string; readonly target: string },
): StateSink {
  let isOpen = true;
  const isOurs = async (): Promise<boolean> => {
    const [ours, named] = await Promise.all([file.stat(), lstat(part).catch(() => null)]);
    return named !== null && named.ino === ours.ino && named.dev === ours.dev;
  };
  const guarded = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      throw error instanceof DispatcherError ? error : unwritable(path, showFault(error), error);
    }
  };
  return {
    write: (bytes) => guarded(() => file.writeFile(bytes)),
    finish: () =>
      guarded(async () => {
        await file.sync();
        if (!(await isOurs())) throw unwritable(path, `another export has taken ${part}`);
        await rename(part, target);
        isOpen = false;
        await file.close();
        await syncFolder(dirname(target));
      }),
    [Symbol.asyncDispose]: async () => {
      if (!isOpen) return;
      isOpen = false;
      if (await isOurs()) await rm(part, { force: true });
      await file.close();
    },
  };
}

/** So that the new name lasts as well. Where folders cannot be opened, the system sees to it. */
async function syncFolder(path: string): Promise<void> {
  let folder: FileHandle;
  try {
    folder = await open(path, constants.O_RDONLY);
  } catch {
    return;
  }
  try {
    await folder.sync();
  } catch {
    // Some file systems refuse it for folders, and the file itself is safe.
  } finally {
    await folder.close();
  }
}

/** Each write hears of its own fault; without a listener the stream's event would end the process. */
function leaveToItsWrite(): void {}

/** Standard output. @throws DispatcherError FILE_UNWRITABLE, as its methods do */
export function streamSink(stream: Writable, label: string): StateSink {
  stream.on("error", leaveToItsWrite);
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stream.write(bytes, (error) => {
          if (error === null || error === undefined) resolve();
          else reject(unwritable(label, showFault(error), error));
        });
      }),
    finish: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The bytes of a file. @throws DispatcherError FILE_UNREADABLE while it is read */
export async function* readStateFile(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    throw unreadable(path, error);
  }
  yield* readStateStream(file.createReadStream({ highWaterMark: 2 ** 18 }), path, signal);
}

/** The bytes of standard input. @throws DispatcherError FILE_UNREADABLE while it is read */
export async function* readStateStream(
  stream: Readable,
  label: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of addAbortSignal(signal, stream)) yield chunk as Uint8Array;
  } catch (error) {
    throw signal.aborted ? signal.reason : unreadable(label, error);
  }
}
