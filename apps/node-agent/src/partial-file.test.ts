import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DigestAlgorithm } from "@dispatcher/core";
import { expect, test } from "vitest";
import { PartialFile } from "./partial-file.ts";

const hexOf = (algorithm: string, text: string) => createHash(algorithm).update(text).digest("hex");
const { signal } = new AbortController();

async function openPart(path: string, algorithm: DigestAlgorithm | null) {
  const part = await PartialFile.open(path, { algorithm, signal });
  return { part, [Symbol.asyncDispose]: () => part.close() };
}

async function aPath(): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await mkdtemp(join(tmpdir(), "partial-file-"));
  return { path: join(folder, "1.part"), [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

test("a new file is made and grows by what is appended", async () => {
  await using place = await aPath();
  await using opened = await openPart(place.path, "md5");
  const { part } = opened;
  expect(part.length).toBe(0);
  await part.append(Buffer.from("ab"));
  await part.append(Buffer.from("c"));
  await part.sync();
  expect(part.length).toBe(3);
  expect(await readFile(place.path, "utf8")).toBe("abc");
  expect(part.digests()).toEqual({
    sha256: hexOf("sha256", "abc"),
    digest: { algorithm: "md5", hex: hexOf("md5", "abc") },
  });
});

test("what is there is hashed and appended to", async () => {
  await using place = await aPath();
  await writeFile(place.path, "ab");
  await using opened = await openPart(place.path, null);
  const { part } = opened;
  expect(part.length).toBe(2);
  await part.append(Buffer.from("c"));
  expect(part.digests()).toEqual({ sha256: hexOf("sha256", "abc"), digest: null });
  expect(await readFile(place.path, "utf8")).toBe("abc");
});

test("a restart forgets all bytes", async () => {
  await using place = await aPath();
  await writeFile(place.path, "ab");
  await using opened = await openPart(place.path, "sha1");
  const { part } = opened;
  await part.restart();
  await part.append(Buffer.from("c"));
  expect(part.length).toBe(1);
  expect(part.digests().digest?.hex).toBe(hexOf("sha1", "c"));
  expect(await readFile(place.path, "utf8")).toBe("c");
});

test("asked for SHA-256 alone, no other digest is computed", async () => {
  await using place = await aPath();
  await using opened = await openPart(place.path, "sha256");
  const { part } = opened;
  expect(part.digests()).toEqual({ sha256: hexOf("sha256", ""), digest: null });
});

test("an abort ends the hashing of what is there", async () => {
  await using place = await aPath();
  await writeFile(place.path, "ab");
  const reason = new Error("stop");
  const opening = PartialFile.open(place.path, { algorithm: null, signal: AbortSignal.abort(reason) });
  await expect(opening).rejects.toBe(reason);
});
