/** A binary heap (Williams 1964): the first element by `isBefore` is on top. Equal elements come in no certain order. */
export class BinaryHeap<Element> {
  readonly #elements: Element[];
  readonly #isBefore: (a: Element, b: Element) => boolean;

  /** Takes over `elements` and puts them in order. O(n). */
  constructor(isBefore: (a: Element, b: Element) => boolean, elements: Element[] = []) {
    this.#isBefore = isBefore;
    this.#elements = elements;
    for (let at = (elements.length >>> 1) - 1; at >= 0; at -= 1) this.#sink(at);
  }

  get top(): Element | undefined {
    return this.#elements[0];
  }

  /** O(log n). */
  push(element: Element): void {
    const elements = this.#elements;
    let at = elements.length;
    elements.push(element);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!this.#isBefore(element, elements[parent]!)) break;
      elements[at] = elements[parent]!;
      at = parent;
    }
    elements[at] = element;
  }

  /** Take the top off; undefined when there is none. O(log n). */
  pop(): Element | undefined {
    const elements = this.#elements;
    const top = elements[0];
    const last = elements.pop();
    if (elements.length > 0) {
      elements[0] = last!;
      this.#sink(0);
    }
    return top;
  }

  /** The top has moved back in the order: put it where it belongs now. O(log n). */
  topChanged(): void {
    if (this.#elements.length > 1) this.#sink(0);
  }

  #sink(from: number): void {
    const elements = this.#elements;
    const { length } = elements;
    const element = elements[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#isBefore(elements[child + 1]!, elements[child]!)) child += 1;
      if (!this.#isBefore(elements[child]!, element)) break;
      elements[at] = elements[child]!;
      at = child;
    }
    elements[at] = element;
  }
}
