/** Deeper than any input of ours, and far from where functions that call themselves run out of stack. */
export const JSON_DEPTH_MAX = 32;

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Whether lists and objects are nested deeper than `max` in a text that may be JSON; what else is wrong with it is the
 * parser's to say. One pass, nothing is kept: cheap beside parsing.
 */
export function isDeeperThan(text: string, max: number): boolean {
  // It takes a character to open each.
  if (text.length <= max) return false;
  let depth = 0;
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place);
    if (code === QUOTE) {
      place = endOfString(text, place + 1);
    } else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      depth += 1;
      if (depth > max) return true;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) {
      depth -= 1;
    }
  }
  return false;
}

/** Where the quote is that ends a string. */
function endOfString(text: string, from: number): number {
  for (let place = from; ;) {
    const end = text.indexOf('"', place);
    if (end === -1) return text.length;
    let backslashes = 0;
    while (end - backslashes > from && text.charCodeAt(end - backslashes - 1) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return end;
    place = end + 1;
  }
}
