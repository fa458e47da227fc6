const NOWHERE = -1;

/** Knows its own place in a heap; -1 outside of one. */
export type Placed = { place: number };

/** A binary heap whose elements know their places, so that any of them can move or leave in O(log n). */
export class PlacedHeap<Element extends Placed> {
  readonly #elements: Element[] = [];
  readonly #isBefore: (a: Element, b: Element) => boolean;

  constructor(isBefore: (a: Element, b: Element) => boolean) {
    this.#isBefore = isBefore;
  }

  /** The element at a place, 0 for the first of all; those at 2p + 1 and 2p + 2 come behind the one at p. */
  at(place: number): Element | undefined {
    return this.#elements[place];
  }

  add(element: Element): void {
    this.#elements.push(element);
    element.place = this.#elements.length - 1;
    this.#rise(element);
  }

  remove(element: Element): void {
    const { place } = element;
    const last = this.#elements.pop()!;
    element.place = NOWHERE;
    if (last === element) return;
    this.#put(last, place);
    this.changed(last);
  }

  /** The element belongs elsewhere in the order now. */
  changed(element: Element): void {
    this.#rise(element);
    this.#sink(element);
  }

  #put(element: Element, place: number): void {
    this.#elements[place] = element;
    element.place = place;
  }

  #rise(element: Element): void {
    let { place } = element;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      if (!this.#isBefore(element, this.#elements[parent]!)) break;
      this.#put(this.#elements[parent]!, place);
      place = parent;
    }
    this.#put(element, place);
  }

  #sink(element: Element): void {
    const { length } = this.#elements;
    let { place } = element;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#isBefore(this.#elements[child + 1]!, this.#elements[child]!)) child += 1;
      if (!this.#isBefore(this.#elements[child]!, element)) break;
      this.#put(this.#elements[child]!, place);
      place = child;
    }
    this.#put(element, place);
  }
}
