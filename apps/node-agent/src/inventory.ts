import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { AssetId } from "@dispatcher/core";
import { CopyShape } from "./assignment-journal.ts";
import type { Copy } from "./assignment-journal.ts";
import { copyFolder, fileSize, inventoryPath } from "./home.ts";
import type { Home } from "./home.ts";
import { readStates, removeDurably, syncFolder, writeDurably } from "./write-durably.ts";

/** The copies this node holds, one small file each beside the bytes. */
export class Inventory {
  readonly #home: Home;
  readonly #copies = new Map<AssetId, Copy>();
  #heldBytes = 0;

  private constructor(home: Home) {
    this.#home = home;
  }

  /** Reads a file a copy. @throws DispatcherError STATE_UNREADABLE */
  static async open(home: Home): Promise<Inventory> {
    const inventory = new Inventory(home);
    for (const copy of await readStates(home.inventoryFolder, CopyShape)) inventory.#take(copy);
    return inventory;
  }

  get size(): number {
    return this.#copies.size;
  }

  /** Of all copies together. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  get(assetId: AssetId): Copy | undefined {
    return this.#copies.get(assetId);
  }

  pathOf(copy: Copy): string {
    return join(copyFolder(this.#home, copy.assetId), copy.name);
  }

  /** Whether the file is there in its full length. */
  async isOnDisk(copy: Copy): Promise<boolean> {
    return (await fileSize(this.pathOf(copy))) === copy.sizeBytes;
  }

  /** Copies whose files are there; the others are left out and keep their entry, for a disk that comes back. */
  async listOnDisk(): Promise<readonly Copy[]> {
    const found: Copy[] = [];
    for (const copy of this.#copies.values()) {
      if (await this.isOnDisk(copy)) found.push(copy);
    }
    return found;
  }

  /** Its file must be in place and durable. */
  async add(copy: Copy): Promise<void> {
    await writeDurably(inventoryPath(this.#home, copy.assetId), JSON.stringify(copy));
    this.#take(copy);
  }

  /** Remove entry and file, the file first: an entry without a file is left out, a file without an entry is never found. */
  async remove(assetId: AssetId): Promise<void> {
    const copy = this.#copies.get(assetId);
    if (copy === undefined) return;
    await rm(copyFolder(this.#home, assetId), { recursive: true, force: true });
    await syncFolder(this.#home.filesFolder);
    await removeDurably(inventoryPath(this.#home, assetId));
    this.#copies.delete(assetId);
    this.#heldBytes -= copy.sizeBytes;
  }

  #take(copy: Copy): void {
    this.#heldBytes += copy.sizeBytes - (this.#copies.get(copy.assetId)?.sizeBytes ?? 0);
    this.#copies.set(copy.assetId, copy);
  }
}
