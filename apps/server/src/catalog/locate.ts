/**
 * Where a file is, and what it is called within its dataset: from a URL, or from a path and the URL of the folder it
 * stands in.
 */
import { hash } from "node:crypto";
import { DispatcherError } from "@dispatcher/core";
import { EntryFault } from "./entry.ts";
import { quote } from "./quote.ts";

/** The bounds of the wire shape. */
const URL_LENGTH_MAX = 4096;
const NAME_LENGTH_MAX = 1024;

/** `scheme://`, or one of the schemes that do without slashes and would otherwise read as odd file names. */
const ABSOLUTE_URL = /^\s*(?:[a-z][a-z0-9+.-]*:\/\/|(?:https?|file|data|doi|magnet|mailto|urn):)/i;

/** Has a scheme of its own, so needs no base. */
export function isAbsoluteUrl(text: string): boolean {
  return ABSOLUTE_URL.test(text);
}

/**
 * A URL in the one form in which URLs are compared: as `URL` writes it, without fragment.
 * @throws EntryFault BAD_URL, CREDENTIALS_IN_URL, SCHEME_UNSUPPORTED
 */
export function webUrl(text: string): URL {
  // URL drops control characters from the middle in silence; a URL that holds one is a broken line.
  if (/\p{Cc}/u.test(text.trim())) throw new EntryFault("BAD_URL", `The URL ${quote(text)} holds control characters.`);
  const url = URL.parse(text);
  if (url === null) throw new EntryFault("BAD_URL", `${quote(text)} is not a URL.`);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new EntryFault("SCHEME_UNSUPPORTED", `The URL ${quote(text)} is neither http nor https.`);
  }
  if (url.username !== "" || url.password !== "") {
    // The text is not quoted: it holds the password.
    throw new EntryFault(
      "CREDENTIALS_IN_URL",
      `A URL at ${url.host} carries a user name or password, which every node would see.`,
    );
  }
  url.hash = "";
  if (url.href.length > URL_LENGTH_MAX) {
    throw new EntryFault("BAD_URL", `The URL ${quote(text)} is longer than ${URL_LENGTH_MAX} characters.`);
  }
  return url;
}

/**
 * The name of a file within its dataset: a relative path with `/` between its parts, without `.` and empty parts.
 * @throws EntryFault BAD_NAME for whatever could lead out of a folder or cannot be a file name
 */
export function fileName(text: string): string {
  const refuse = (why: string): never => {
    throw new EntryFault("BAD_NAME", `The path ${quote(text)} ${why}.`);
  };
  if (!text.isWellFormed()) refuse("is not valid Unicode");
  if (/\p{Cc}/u.test(text)) refuse("holds control characters");
  if (text.includes("\\")) refuse("has a backslash; parts of a path are separated by /");
  if (text.startsWith("/")) refuse("is absolute; a path has to be relative");
  if (text.endsWith("/")) refuse("is that of a folder");
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  // The encoded forms count as well: a URL parser takes them for dots.
  if (parts.some((part) => /^(?:\.|%2e){1,2}$/i.test(part))) refuse("leads out of the dataset's folder");
  const name = parts.join("/");
  if (name.trim() === "") refuse("names no file");
  if (name.length > NAME_LENGTH_MAX) refuse(`is longer than ${NAME_LENGTH_MAX} characters`);
  return name;
}

/**
 * A name for a file of which only the URL is known: host, path and query, as a browser's address bar shows them. All
 * three, because `data.csv` stands on many hosts, and one file must never be taken for the copy of another.
 */
function nameOfUrl(url: URL): string {
  const path = url.pathname.endsWith("/") ? `${url.pathname}index.html` : url.pathname;
  const query = url.search.replace(/[/\\]/g, encodeURIComponent);
  const readable = `${url.host}${path.split("/").map(decodedPart).join("/")}${query}`;
  if (readable.length <= NAME_LENGTH_MAX) return fileName(readable);
  const mark = hash("sha256", url.href);
  return fileName(`${url.host}${path}${query}`.slice(0, NAME_LENGTH_MAX - mark.length - 1) + `-${mark}`);
}

/** The part without its percent encoding, unless that would change how many parts there are. */
function decodedPart(part: string): string {
  try {
    const decoded = decodeURIComponent(part);
    return /[/\\\p{Cc}?%]|^\.{0,2}$/u.test(decoded) ? part : decoded;
  } catch {
    return part;
  }
}

/**
 * A path as a URL knows it. What is percent-encoded already stays so: catalogs of web folders write paths either way.
 * `?` and `#` belong to the file's name, since a path has neither query nor fragment.
 */
function encodedPath(name: string): string {
  return name.replace(/%(?![0-9a-f]{2})/gi, "%25").replace(/[?# ]/g, encodeURIComponent);
}

export type Location = { readonly url: string; readonly path: string };

/**
 * Find a file by what a catalog says: an absolute URL, or a path below `base`.
 * @throws EntryFault NO_BASE_URL for a path when `base` is null; BAD_NAME, and as webUrl
 */
export function locate(text: string, base: URL | null): Location {
  if (isAbsoluteUrl(text)) {
    const url = webUrl(text);
    return { url: url.href, path: nameOfUrl(url) };
  }
  const path = fileName(text);
  if (base === null)
    throw new EntryFault("NO_BASE_URL", `The path ${quote(text)} is relative, and no base URL says to what.`);
  // The ./ keeps a name with a colon from being read as a scheme.
  return { url: webUrl(new URL(`./${encodedPath(path)}`, base).href).href, path };
}

/**
 * The folder that relative paths start from: the base URL given, which is a folder with or without its last slash, or
 * else the URL the catalog came from, or null.
 * @throws DispatcherError INPUT_INVALID for a base URL that no path can be joined to
 */
export function baseOf(baseUrl: string | undefined, catalogUrl: string | null): URL | null {
  if (baseUrl === undefined) return catalogUrl === null ? null : new URL(catalogUrl);
  try {
    const url = webUrl(baseUrl);
    if (url.search !== "")
      throw new EntryFault("BAD_URL", `${quote(baseUrl)} has a query, behind which no path can go.`);
    if (!url.pathname.endsWith("/")) url.pathname += "/";
    return url;
  } catch (error) {
    if (!(error instanceof EntryFault)) throw error;
    throw new DispatcherError("INPUT_INVALID", `The base URL cannot be used. ${error.message}`, { cause: error });
  }
}
