/**
 * Small state files that are whole at any instant: the old text or the new one, whatever dies in between. The text is made
 * durable under another name first, then takes its place in one step, then the folder is made durable too; without the
 * last, a power cut could bring the old text back after the new one had been acted upon.
 */
import { open, readFile, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DispatcherError } from "@dispatcher/core";
import type { z } from "zod";

const TEMPORARY = ".tmp";

/** One writer a path at a time. Mode 0600. @throws the system's error, with the old text still in place */
export async function writeDurably(path: string, text: string): Promise<void> {
  const temporary = path + TEMPORARY;
  try {
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // On a full disk a left-over would hold the very bytes that are missing.
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** A file that is already gone is fine. */
export async function removeDurably(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncFolder(dirname(path));
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Null when there is no such file.
 * @throws DispatcherError HOME_UNUSABLE when this user may not read it, STATE_UNREADABLE when it is not what was once written
 */
export async function readState<Shape extends z.ZodType>(path: string, shape: Shape): Promise<z.output<Shape> | null> {
  try {
    return shape.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT") return null;
    // Nothing is damaged, so the advice to restore it would be wrong.
    if (code === "EACCES" || code === "EPERM") {
      throw new DispatcherError("HOME_UNUSABLE", `This user may not read ${path} (${code}).`, { cause });
    }
    throw new DispatcherError("STATE_UNREADABLE", `The state file ${path} cannot be read.`, { cause });
  }
}

/** All `*.json` of a folder, in no particular order. @throws DispatcherError HOME_UNUSABLE, STATE_UNREADABLE */
export async function readStates<Shape extends z.ZodType>(
  folder: string,
  shape: Shape,
): Promise<readonly z.output<Shape>[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  const states: z.output<Shape>[] = [];
  // One by one: a hundred thousand files opened at once would be more than a process may have.
  for (const name of names) {
    const state = await readState(join(folder, name), shape);
    if (state !== null) states.push(state);
  }
  return states;
}

/** Remove what a death in the middle of `writeDurably` has left. */
export async function sweepTemporaries(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(TEMPORARY)) await rm(join(folder, name), { force: true });
  }
}
