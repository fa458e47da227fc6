/** First and last byte asked for, both included, within a file of a known size. */
export type ByteRange = { readonly first: number; readonly last: number };

/**
 * Read a Range header of one range against a file of `sizeBytes`, as RFC 9110 section 14.1.2 has it.
 * Null: serve the whole file, because there is no header, it is malformed, or it names several ranges (which a server
 * may ignore). "unsatisfiable": answer 416.
 */
export function readByteRange(header: string | undefined, sizeBytes: number): ByteRange | null | "unsatisfiable" {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.replaceAll(" ", "") ?? "");
  if (match === null) return null;
  const [, from = "", to = ""] = match;
  if (from === "" && to === "") return null;
  if (from === "") {
    const suffixBytes = Number(to);
    if (suffixBytes === 0 || sizeBytes === 0) return "unsatisfiable";
    return { first: Math.max(0, sizeBytes - suffixBytes), last: sizeBytes - 1 };
  }
  const first = Number(from);
  if (to !== "" && Number(to) < first) return null;
  if (first >= sizeBytes) return "unsatisfiable";
  return { first, last: to === "" ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1) };
}
