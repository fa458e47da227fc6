import { mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { createStateFile, readStateFile, streamSink } from "./state-file.ts";

const TEXT = Buffer.from("a line\n");

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "state-file-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A pipe that takes nothing. */
function failing(code: string): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error("failed"), { code })) });
}

/** How many bytes a file gives. */
async function read(path: string): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of readStateFile(path, new AbortController().signal)) sizeBytes += chunk.length;
  return sizeBytes;
}

describe("an exported file", () => {
  test("has its name once it is whole, and only its user may read it", async () => {
    const folder = await makeFolder();
    const path = join(folder, "backup");
    await using sink = await createStateFile(path);
    await sink.write(TEXT);
    await sink.write(TEXT);
    expect(await readdir(folder)).toEqual(["backup.part"]);
    await sink.finish();
    expect(await readdir(folder)).toEqual(["backup"]);
    expect(await readFile(path, "utf8")).toBe("a line\na line\n");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("leaves nothing when it is given up, and the one of before as it was", async () => {
    const folder = await makeFolder();
    const path = join(folder, "backup");
    await writeFile(path, "before");
    {
      await using sink = await createStateFile(path);
      await sink.write(TEXT);
    }
    expect(await readdir(folder)).toEqual(["backup"]);
    expect(await readFile(path, "utf8")).toBe("before");
  });

  test("takes the place of the one of before, where a link leads too", async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, "backup"), "before");
    await symlink(join(folder, "backup"), join(folder, "latest"));
    await using sink = await createStateFile(join(folder, "latest"));
    await sink.write(TEXT);
    await sink.finish();
    expect(await readFile(join(folder, "backup"), "utf8")).toBe("a line\n");
    expect((await readdir(folder)).toSorted()).toEqual(["backup", "latest"]);
  });

  test("is not mixed with what a killed export left, nor with another that runs", async () => {
    const folder = await makeFolder();
    const path = join(folder, "backup");
    await writeFile(`${path}.part`, "left behind");
    await using first = await createStateFile(path);
    await using second = await createStateFile(path);
    await first.write(Buffer.from("first"));
    await second.write(Buffer.from("second"));
    await expect(first.finish()).rejects.toMatchObject({ code: "FILE_UNWRITABLE" });
    await first[Symbol.asyncDispose]();
    await second.finish();
    expect(await readFile(path, "utf8")).toBe("second");
  });

  test.each([
    ["a folder", (folder: string) => folder],
    ["no file", () => "/dev/null"],
    ["no such file or folder", (folder: string) => join(folder, "missing", "backup")],
  ])("cannot be %s", async (why, pathIn) => {
    const path = pathIn(await makeFolder());
    await expect(createStateFile(path)).rejects.toMatchObject({
      code: "FILE_UNWRITABLE",
      detail: expect.stringContaining(why) as string,
    });
  });
});

test("a pipe whose reader has gone, or a full disk behind it, is told in words", async () => {
  await expect(streamSink(failing("EPIPE"), "Standard output").write(TEXT)).rejects.toMatchObject({
    code: "FILE_UNWRITABLE",
    detail: "Standard output cannot be written: whoever read it has gone.",
  });
  await expect(streamSink(failing("ENOSPC"), "Standard output").write(TEXT)).rejects.toMatchObject({
    detail: "Standard output cannot be written: the disk is full.",
  });
});

test("a file that is not there, or is a folder, cannot be read", async () => {
  const folder = await makeFolder();
  await mkdir(join(folder, "sub"));
  await expect(read(join(folder, "missing"))).rejects.toMatchObject({ code: "FILE_UNREADABLE" });
  await expect(read(join(folder, "sub"))).rejects.toMatchObject({ code: "FILE_UNREADABLE" });
  await writeFile(join(folder, "there"), TEXT);
  expect(await read(join(folder, "there"))).toBe(TEXT.length);
});
