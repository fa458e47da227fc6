import type { DispatcherClient } from "@dispatcher/client";

/** As many as one call answers. */
const PAGE_MAX = 1000;

type PageAsked = { readonly limit: number; readonly after?: string };

/** Pages of a list, one after the other, until it ends or `limit` rows have come. */
export class PageReader<Row> implements AsyncIterable<readonly Row[]> {
  readonly #read: (asked: PageAsked) => Promise<{ readonly rows: readonly Row[]; readonly next: string | null }>;
  readonly #limit: number;
  #after: string | undefined;
  /** Where to go on behind the last row that came; null at the end of the list. */
  next: string | null = null;

  constructor(
    read: (asked: PageAsked) => Promise<{ readonly rows: readonly Row[]; readonly next: string | null }>,
    { limit = Infinity, after }: { readonly limit?: number | undefined; readonly after?: string | undefined } = {},
  ) {
    this.#read = read;
    this.#limit = limit;
    this.#after = after;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Row[], void, void> {
    let left = this.#limit;
    do {
      const limit = Math.min(left, PAGE_MAX);
      const page = await this.#read({ limit, ...(this.#after !== undefined && { after: this.#after }) });
      left -= page.rows.length;
      this.next = page.next;
      this.#after = page.next ?? undefined;
      yield page.rows;
    } while (left > 0 && this.#after !== undefined);
  }
}

/** The server's clock, by which what it tells is old or young. */
export async function readServerTime(client: DispatcherClient): Promise<number> {
  const { nowMs, ageMs } = await client.stats.overview.query();
  return nowMs + ageMs;
}
