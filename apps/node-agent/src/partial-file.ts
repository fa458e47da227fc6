/**
 * The file that a fetch writes, only ever appended to. File systems make a file longer after its new bytes are written, so
 * what a death or a power cut leaves is a true beginning of the whole, and its length alone says how much is there.
 */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import type { Computed, DigestAlgorithm, ReportedDigest } from "@dispatcher/core";
import { diskFailure } from "./asset-failure.ts";

const READ_BYTES = 1024 * 1024;

export class PartialFile {
  readonly #file: FileHandle;
  readonly #algorithm: DigestAlgorithm | null;
  #sha256: Hash;
  #other: Hash | null;
  #length = 0;

  private constructor(file: FileHandle, algorithm: DigestAlgorithm | null) {
    this.#file = file;
    this.#algorithm = algorithm === "sha256" ? null : algorithm;
    this.#sha256 = createHash("sha256");
    this.#other = this.#newOther();
  }

  /**
   * Open it, make it if it is missing, and hash what it holds: as long as that takes to read, in constant memory.
   * @throws AssetFailure DISK_FULL, DISK_ERROR; the signal's reason
   */
  static async open(
    path: string,
    { algorithm, signal }: { readonly algorithm: DigestAlgorithm | null; readonly signal: AbortSignal },
  ): Promise<PartialFile> {
    // "a+" would append whatever the position says; "r+" does not make the file.
    const file = await open(path, "a", 0o600)
      .then((made) => made.close())
      .then(() => open(path, "r+"))
      .catch((error: unknown) => {
        throw diskFailure(error);
      });
    const part = new PartialFile(file, algorithm);
    try {
      await part.#read(signal, (bytes) => part.#take(bytes));
      return part;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Bytes in it. */
  get length(): number {
    return this.#length;
  }

  /** @throws AssetFailure DISK_FULL, DISK_ERROR; what was written of the chunk is not counted */
  async append(chunk: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < chunk.length;) {
        const { bytesWritten } = await this.#file.write(chunk, done, chunk.length - done, this.#length + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw diskFailure(error);
    }
    this.#take(chunk);
  }

  /** Drop all bytes. @throws AssetFailure DISK_ERROR */
  async restart(): Promise<void> {
    await this.#file.truncate(0).catch((error: unknown) => {
      throw diskFailure(error);
    });
    this.#length = 0;
    this.#sha256 = createHash("sha256");
    this.#other = this.#newOther();
  }

  /** Make it durable, to the last byte. @throws AssetFailure DISK_FULL, DISK_ERROR */
  async sync(): Promise<void> {
    await this.#file.sync().catch((error: unknown) => {
      throw diskFailure(error);
    });
  }

  /** Of all bytes in it; it may go on growing. */
  digests(): Computed {
    const hex = this.#other?.copy().digest("hex");
    return {
      sha256: this.#sha256.copy().digest("hex"),
      digest: this.#algorithm === null || hex === undefined ? null : { algorithm: this.#algorithm, hex },
    };
  }

  /** Git's id of the file, which begins with its length and so is read from the disk once that is known. */
  async gitDigest(signal: AbortSignal): Promise<ReportedDigest> {
    const hash = createHash("sha1").update(`blob ${this.#length}\0`);
    await this.#read(signal, (bytes) => hash.update(bytes));
    return { algorithm: "git-sha1", hex: hash.digest("hex") };
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #newOther(): Hash | null {
    return this.#algorithm === null ? null : createHash(this.#algorithm);
  }

  #take(bytes: Uint8Array): void {
    this.#sha256.update(bytes);
    this.#other?.update(bytes);
    this.#length += bytes.length;
  }

  /** All that is in it, piece by piece; `take` may not keep the piece. */
  async #read(signal: AbortSignal, take: (bytes: Uint8Array) => unknown): Promise<void> {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (let at = 0; ;) {
      signal.throwIfAborted();
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, at).catch((error: unknown) => {
        throw diskFailure(error);
      });
      if (bytesRead === 0) return;
      take(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  }
}
