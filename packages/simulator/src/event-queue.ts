/**
 * What happens next: a binary heap over typed arrays. Events of the same moment come in the order in which they were
 * pushed, so that a run is the same every time.
 */
export type SimulatedEvent = {
  readonly atMs: number;
  readonly kind: number;
  /** What it is about: a node, an origin, a claim; the kind tells. */
  readonly subject: number;
  /** Lets the receiver tell an event that is out of date. */
  readonly stamp: number;
};

function grown<T extends Float64Array | Uint8Array | Int32Array>(into: T, from: T): T {
  into.set(from);
  return into;
}

export class EventQueue {
  #atMs = new Float64Array(1024);
  #order = new Float64Array(1024);
  #kind = new Uint8Array(1024);
  #subject = new Int32Array(1024);
  #stamp = new Int32Array(1024);
  #size = 0;
  #pushed = 0;

  get size(): number {
    return this.#size;
  }

  /** O(log n). */
  push({ atMs, kind, subject, stamp }: SimulatedEvent): void {
    if (this.#size === this.#atMs.length) this.#grow();
    let place = this.#size;
    this.#size += 1;
    const order = this.#pushed;
    this.#pushed += 1;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      // Pushed later than all others, so at the same moment it stays behind.
      if (this.#atMs[parent]! <= atMs) break;
      this.#move(parent, place);
      place = parent;
    }
    this.#set(place, { atMs, kind, subject, stamp }, order);
  }

  /** The earliest; undefined when there is none. O(log n). */
  pop(): SimulatedEvent | undefined {
    if (this.#size === 0) return undefined;
    const first = this.#get(0);
    this.#size -= 1;
    if (this.#size > 0) this.#sink(this.#get(this.#size), this.#order[this.#size]!);
    return first;
  }

  #sink(event: SimulatedEvent, order: number): void {
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#size) break;
      const right = child + 1;
      if (right < this.#size && this.#isBefore(right, this.#atMs[child]!, this.#order[child]!)) child = right;
      if (!this.#isBefore(child, event.atMs, order)) break;
      this.#move(child, place);
      place = child;
    }
    this.#set(place, event, order);
  }

  #isBefore(place: number, atMs: number, order: number): boolean {
    return this.#atMs[place]! < atMs || (this.#atMs[place] === atMs && this.#order[place]! < order);
  }

  #get(place: number): SimulatedEvent {
    return {
      atMs: this.#atMs[place]!,
      kind: this.#kind[place]!,
      subject: this.#subject[place]!,
      stamp: this.#stamp[place]!,
    };
  }

  #set(place: number, { atMs, kind, subject, stamp }: SimulatedEvent, order: number): void {
    this.#atMs[place] = atMs;
    this.#order[place] = order;
    this.#kind[place] = kind;
    this.#subject[place] = subject;
    this.#stamp[place] = stamp;
  }

  #move(from: number, to: number): void {
    this.#atMs[to] = this.#atMs[from]!;
    this.#order[to] = this.#order[from]!;
    this.#kind[to] = this.#kind[from]!;
    this.#subject[to] = this.#subject[from]!;
    this.#stamp[to] = this.#stamp[from]!;
  }

  #grow(): void {
    const length = 2 * this.#atMs.length;
    this.#atMs = grown(new Float64Array(length), this.#atMs);
    this.#order = grown(new Float64Array(length), this.#order);
    this.#kind = grown(new Uint8Array(length), this.#kind);
    this.#subject = grown(new Int32Array(length), this.#subject);
    this.#stamp = grown(new Int32Array(length), this.#stamp);
  }
}
