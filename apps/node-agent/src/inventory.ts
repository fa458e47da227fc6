import { hash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { NO_COPIES, addCopy, compareIds, removeCopy } from "@dispatcher/core";
import type { AssetId, HashText, Holding } from "@dispatcher/core";
import { CopyShape } from "./assignment-journal.ts";
import type { Copy } from "./assignment-journal.ts";
import { copyFolder, fileSize, inventoryPath } from "./home.ts";
import type { Home } from "./home.ts";
import { readStates, removeDurably, syncFolder, writeDurably } from "./write-durably.ts";

/** As the digest of an inventory is made of. */
export const hashText: HashText = (text) => hash("sha256", text);

/** Files looked for at once. */
const LOOKS_AT_ONCE = 64;

type Entry = {
  readonly copy: Copy;
  /** As of the last look: its file was there in its full length. */
  readonly isOnDisk: boolean;
  /** False: the server has said that it does not count this copy. Known until the agent ends, and found out again then. */
  readonly isCounted: boolean;
};

/**
 * The copies this node holds, one small file each beside the bytes. A copy whose file is missing keeps its entry, for a disk
 * that comes back, and is left out of everything that is said of the others.
 */
export class Inventory {
  readonly #home: Home;
  readonly #entries = new Map<AssetId, Entry>();
  #onDisk = 0;
  #heldBytes = 0;
  #holding = NO_COPIES;

  private constructor(home: Home) {
    this.#home = home;
  }

  /** Reads a file a copy, and takes their files for there; {@link rescan} looks. @throws DispatcherError STATE_UNREADABLE */
  static async open(home: Home): Promise<Inventory> {
    const inventory = new Inventory(home);
    for (const copy of await readStates(home.inventoryFolder, CopyShape)) inventory.#put(copy.assetId, toEntry(copy));
    return inventory;
  }

  /** Copies on disk. */
  get size(): number {
    return this.#onDisk;
  }

  /** Of all copies on disk together. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Copies whose files are missing. */
  get missing(): number {
    return this.#entries.size - this.#onDisk;
  }

  /** Copies on disk that the server does not count. */
  get notCounted(): number {
    return this.#onDisk - this.#holding.copies;
  }

  /** Of the copies that are on disk and counted. */
  get holding(): Holding {
    return this.#holding;
  }

  get(assetId: AssetId): Copy | undefined {
    return this.#entries.get(assetId)?.copy;
  }

  pathOf(copy: Copy): string {
    return join(copyFolder(this.#home, copy.assetId), copy.name);
  }

  /** Whether the file is there in its full length. */
  async isOnDisk(copy: Copy): Promise<boolean> {
    return (await fileSize(this.pathOf(copy))) === copy.sizeBytes;
  }

  /** Whether the holding has these very bytes. */
  isHeld({ assetId, sizeBytes, sha256 }: Copy): boolean {
    const entry = this.#entries.get(assetId);
    if (entry === undefined || !entry.isOnDisk || !entry.isCounted) return false;
    return entry.copy.sizeBytes === sizeBytes && entry.copy.sha256 === sha256;
  }

  /** Copies on disk as of the last look, counted or not, in the order of their assets. */
  listOnDisk(): readonly Copy[] {
    return [...this.#entries.values()]
      .filter(({ isOnDisk }) => isOnDisk)
      .map(({ copy }) => copy)
      .toSorted((a, b) => compareIds(a.assetId, b.assetId));
  }

  /**
   * Look for every file, and answer the copies that are missing now and were not before. One that cannot even be looked for
   * is missing: it could not be read either. O(copies), and nothing is opened. @throws the signal's reason
   */
  async rescan(signal?: AbortSignal): Promise<readonly Copy[]> {
    const copies = [...this.#entries.values()].map(({ copy }) => copy);
    const missing: Copy[] = [];
    const look = async (copy: Copy): Promise<void> => {
      const isOnDisk = await this.isOnDisk(copy).catch(() => false);
      const entry = this.#entries.get(copy.assetId);
      // It may have been replaced or removed meanwhile.
      if (entry?.copy !== copy || entry.isOnDisk === isOnDisk) return;
      this.#put(copy.assetId, { ...entry, isOnDisk });
      if (!isOnDisk) missing.push(copy);
    };
    for (let start = 0; start < copies.length; start += LOOKS_AT_ONCE) {
      signal?.throwIfAborted();
      await Promise.all(copies.slice(start, start + LOOKS_AT_ONCE).map(look));
    }
    return missing;
  }

  /** Its file must be in place and durable. */
  async add(copy: Copy): Promise<void> {
    await writeDurably(inventoryPath(this.#home, copy.assetId), JSON.stringify(copy));
    this.#put(copy.assetId, toEntry(copy));
  }

  /** What the server says of a copy: whether it is counted. */
  setCounted(assetId: AssetId, isCounted: boolean): void {
    const entry = this.#entries.get(assetId);
    if (entry !== undefined && entry.isCounted !== isCounted) this.#put(assetId, { ...entry, isCounted });
  }

  /** Remove entry and file, the file first: an entry without a file is left out, a file without an entry is never found. */
  async remove(assetId: AssetId): Promise<void> {
    if (!this.#entries.has(assetId)) return;
    await rm(copyFolder(this.#home, assetId), { recursive: true, force: true });
    await syncFolder(this.#home.filesFolder);
    await removeDurably(inventoryPath(this.#home, assetId));
    this.#put(assetId, null);
  }

  #put(assetId: AssetId, next: Entry | null): void {
    this.#count(this.#entries.get(assetId), -1);
    if (next === null) {
      this.#entries.delete(assetId);
      return;
    }
    this.#entries.set(assetId, next);
    this.#count(next, 1);
  }

  #count(entry: Entry | undefined, sign: 1 | -1): void {
    if (entry === undefined || !entry.isOnDisk) return;
    this.#onDisk += sign;
    this.#heldBytes += sign * entry.copy.sizeBytes;
    if (entry.isCounted) this.#holding = (sign === 1 ? addCopy : removeCopy)(this.#holding, entry.copy, hashText);
  }
}

function toEntry(copy: Copy): Entry {
  return { copy, isOnDisk: true, isCounted: true };
}
