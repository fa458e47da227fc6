/**
 * The copies that really exist: good bytes on a node that has not left for good, whatever anybody believes. Two doubly
 * linked lists over typed arrays, one by asset and one by node, since policies without coordination make thousands of
 * copies of one asset.
 */
const NONE = -1;

function grown(from: Int32Array): Int32Array<ArrayBuffer> {
  const into = new Int32Array(2 * from.length);
  into.set(from);
  return into;
}

export class CopyTable {
  readonly #operatorOf: Int32Array;
  readonly #firstOfAsset: Int32Array;
  readonly #firstOfNode: Int32Array;
  readonly #countOfAsset: Uint16Array;
  #asset = new Int32Array(4096);
  #node = new Int32Array(4096);
  #nextOfAsset = new Int32Array(4096);
  #previousOfAsset = new Int32Array(4096);
  #nextOfNode = new Int32Array(4096);
  #freed: number[] = [];
  #used = 0;

  constructor({ assets, operatorOf }: { readonly assets: number; readonly operatorOf: Int32Array }) {
    this.#operatorOf = operatorOf;
    this.#firstOfAsset = new Int32Array(assets).fill(NONE);
    this.#firstOfNode = new Int32Array(operatorOf.length).fill(NONE);
    this.#countOfAsset = new Uint16Array(assets);
  }

  countOf(asset: number): number {
    return this.#countOfAsset[asset]!;
  }

  add(asset: number, node: number): void {
    const record = this.#freed.pop() ?? this.#newRecord();
    this.#asset[record] = asset;
    this.#node[record] = node;
    const next = this.#firstOfAsset[asset]!;
    this.#nextOfAsset[record] = next;
    this.#previousOfAsset[record] = NONE;
    if (next !== NONE) this.#previousOfAsset[next] = record;
    this.#firstOfAsset[asset] = record;
    this.#nextOfNode[record] = this.#firstOfNode[node]!;
    this.#firstOfNode[node] = record;
    this.#countOfAsset[asset]! += 1;
  }

  /** All copies of a node are gone. Tells each asset that had one, after its removal. O(its copies). */
  removeNode(node: number, tell: (asset: number) => void): void {
    let record = this.#firstOfNode[node]!;
    this.#firstOfNode[node] = NONE;
    while (record !== NONE) {
      const asset = this.#asset[record]!;
      const previous = this.#previousOfAsset[record]!;
      const next = this.#nextOfAsset[record]!;
      if (previous === NONE) this.#firstOfAsset[asset] = next;
      else this.#nextOfAsset[previous] = next;
      if (next !== NONE) this.#previousOfAsset[next] = previous;
      this.#countOfAsset[asset]! -= 1;
      this.#freed.push(record);
      tell(asset);
      record = this.#nextOfNode[record]!;
    }
  }

  /** Different operators that have it, counted up to `most`. */
  independentOf(asset: number, most: number): number {
    const seen: number[] = [];
    for (let at = this.#firstOfAsset[asset]!; at !== NONE && seen.length < most; at = this.#nextOfAsset[at]!) {
      const operator = this.#operatorOf[this.#node[at]!]!;
      if (!seen.includes(operator)) seen.push(operator);
    }
    return seen.length;
  }

  /** The newest copy whose node suits; null for none. */
  find(asset: number, suits: (node: number) => boolean): number | null {
    for (let at = this.#firstOfAsset[asset]!; at !== NONE; at = this.#nextOfAsset[at]!) {
      if (suits(this.#node[at]!)) return this.#node[at]!;
    }
    return null;
  }

  #newRecord(): number {
    if (this.#used === this.#asset.length) {
      this.#asset = grown(this.#asset);
      this.#node = grown(this.#node);
      this.#nextOfAsset = grown(this.#nextOfAsset);
      this.#previousOfAsset = grown(this.#previousOfAsset);
      this.#nextOfNode = grown(this.#nextOfNode);
    }
    this.#used += 1;
    return this.#used - 1;
  }
}
