import { unreadable } from "./source.ts";

/** A longer line is not a list of files written line by line, and would grow in memory. */
const LINE_LENGTH_MAX = 2 ** 20;

export type JsonLine = { readonly place: string; readonly value: unknown; readonly isValid: boolean };

/**
 * The lines of an NDJSON text, blank ones left out. Each stands alone, so a broken one is told and the next is read.
 * @throws DispatcherError CATALOG_UNREADABLE for a line without end
 */
export async function* readJsonLines(label: string, text: AsyncIterable<string>): AsyncGenerator<JsonLine> {
  let lineCount = 0;
  let open = "";
  const parsed = (line: string): JsonLine[] => {
    lineCount += 1;
    if (line.trim() === "") return [];
    const place = `line ${lineCount}`;
    try {
      return [{ place, value: JSON.parse(line), isValid: true }];
    } catch {
      return [{ place, value: null, isValid: false }];
    }
  };
  for await (const piece of text) {
    const lines = (open + piece).split("\n");
    open = lines.pop() ?? "";
    if (open.length > LINE_LENGTH_MAX)
      throw unreadable(`Line ${lineCount + lines.length + 1} of ${label} is longer than 1 MiB.`);
    yield* lines.flatMap(parsed);
  }
  yield* parsed(open);
}
