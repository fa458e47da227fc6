import { execFile } from "node:child_process";
import { mkdtemp, open, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A disk of its own that can be filled without harm to anybody else: in memory, gone with the test. Only root may have one. */
export type SmallDisk = AsyncDisposable & {
  readonly path: string;
  /** Take all that is free, as another program of the machine would. */
  fill(): Promise<void>;
  /** Give it back. */
  empty(): Promise<void>;
};

const PIECE = Buffer.alloc(64 * 1024, 1);

export async function mountSmallDisk(sizeBytes: number): Promise<SmallDisk> {
  const path = await mkdtemp(join(tmpdir(), "small-disk-"));
  await run("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes},mode=0755`, "tmpfs", path]);
  const filler = join(path, "filler");
  return {
    path,
    fill: async () => {
      const file = await open(filler, "a");
      try {
        for (;;) {
          const { bavail, bsize } = await statfs(path);
          if (bavail === 0) return;
          await file.write(PIECE, 0, Math.min(PIECE.length, bavail * bsize));
        }
      } catch (error) {
        // Somebody else took the last of it meanwhile.
        if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
      } finally {
        await file.close();
      }
    },
    empty: () => rm(filler, { force: true }),
    [Symbol.asyncDispose]: async () => {
      // Lazily: a process that is just ending may still have a file open.
      await run("umount", ["--lazy", path]);
      await rm(path, { recursive: true, force: true });
    },
  };
}
