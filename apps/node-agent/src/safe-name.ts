/**
 * The name under which a file is stored. Catalogs are written by strangers: whatever they say, the name is one that every
 * file system takes, that stays in its folder, and that a bag of files (RFC 8493) can list.
 */

/** Encrypted home folders (eCryptfs) take 143 bytes, the least of all. */
const NAME_BYTES_MAX = 140;
/** `.tar.gz`, `.geojson`; what is longer is no ending that anything is opened by. */
const ENDING_BYTES_MAX = 24;

/** Control, format (also the ones that turn text around) and half characters; what Windows forbids; `%`, which BagIt tools differ on. */
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}<>:"|?*%]/gu;
/** Windows opens a device whatever ending follows, also on a disk that is carried there later. */
const DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(?:\.|$)/i;

/** One safe file name, 1 to 140 bytes of UTF-8, from the last part of a catalog's path. Its own output is left as it is. */
export function safeName(path: string): string {
  const last = path.split(/[/\\]/).findLast((part) => /[^. ]/.test(part)) ?? "";
  const clean = trimEdges(last.replace(FORBIDDEN, "_").normalize("NFC"));
  const named = clean === "" ? "file" : DEVICE.test(clean) ? `_${clean}` : clean;
  return shorten(named);
}

/** A leading dot hides the file, a trailing dot or blank is lost on Windows, a blank at an edge is lost in manifests. */
function trimEdges(name: string): string {
  return name.replace(/^[.\s]+|[.\s]+$/gu, "");
}

function shorten(name: string): string {
  if (Buffer.byteLength(name) <= NAME_BYTES_MAX) return name;
  const ending = /(?:\.[A-Za-z0-9]{1,10}){1,2}$/.exec(name)?.[0] ?? "";
  const kept = Buffer.byteLength(ending) <= ENDING_BYTES_MAX ? ending : "";
  const stem = name.slice(0, name.length - kept.length);
  let short = "";
  let bytes = Buffer.byteLength(kept);
  for (const character of stem) {
    bytes += Buffer.byteLength(character);
    if (bytes > NAME_BYTES_MAX) break;
    short += character;
  }
  return trimEdges(short) + kept;
}
