import { DispatcherError } from "@dispatcher/core";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EntryFault } from "./entry.ts";
import { baseOf, fileName, locate, webUrl } from "./locate.ts";
import type { Location } from "./locate.ts";

const BASE = new URL("https://data.example.org/files/");

/** The code of the fault that `read` throws. */
function faultOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof EntryFault) return error.code;
    throw error;
  }
  return "none";
}

function locatedOrNull(text: string): Location | null {
  try {
    return locate(text, BASE);
  } catch (error) {
    if (error instanceof EntryFault) return null;
    throw error;
  }
}

describe("webUrl", () => {
  test.for([
    ["HTTPS://Data.Example.ORG:443/a/../b.csv#top", "https://data.example.org/b.csv"],
    ["http://example.org", "http://example.org/"],
    ["http://example.org/ä b", "http://example.org/%C3%A4%20b"],
    ["  https://example.org/a?x=1 ", "https://example.org/a?x=1"],
  ])("%s is kept as %s", ([text = "", kept = ""]) => {
    expect(webUrl(text).href).toBe(kept);
  });

  test.for([
    ["ftp://example.org/a", "SCHEME_UNSUPPORTED"],
    ["file:///etc/passwd", "SCHEME_UNSUPPORTED"],
    ["magnet:?xt=urn:btih:0", "SCHEME_UNSUPPORTED"],
    ["https://", "BAD_URL"],
    ["https://exa mple.org/", "BAD_URL"],
    ["https://example.org:99999/", "BAD_URL"],
    ["https://example.org/a\nb", "BAD_URL"],
    [`https://example.org/${"a".repeat(4096)}`, "BAD_URL"],
    ["https://user@example.org/a", "CREDENTIALS_IN_URL"],
    ["https://user:secret@example.org/a", "CREDENTIALS_IN_URL"],
  ])("%s is refused as %s", ([text = "", code]) => {
    expect(faultOf(() => webUrl(text))).toBe(code);
  });

  test("the refusal of a URL with a password does not repeat the password", () => {
    expect(() => webUrl("https://user:secret@example.org/a")).toThrow(/^(?!.*secret).*example\.org/);
  });

  test("a kept URL is kept as it is when read again", () => {
    fc.assert(
      fc.property(fc.webUrl({ withFragments: true, withQueryParameters: true }), (text) => {
        const { href } = webUrl(text);
        expect(href).not.toContain("#");
        expect(webUrl(href).href).toBe(href);
      }),
      { numRuns: 50 },
    );
  });
});

describe("fileName", () => {
  test.for([
    ["a.csv", "a.csv"],
    ["./data//2020/./a b.csv", "data/2020/a b.csv"],
    ["..a/b..", "..a/b.."],
    ["ümlaut.csv", "ümlaut.csv"],
  ])("%s is called %s", ([text = "", name = ""]) => {
    expect(fileName(text)).toBe(name);
  });

  test.for([
    "",
    " ",
    ".",
    "./",
    "/etc/passwd",
    "//example.org/a",
    "../a",
    "a/../../b",
    "a/..",
    "a/%2e%2E/b",
    "a/.%2e/b",
    "data/",
    String.raw`C:\data\a.csv`,
    "a\u0000b",
    "a\nb",
    "a\uD800",
    "a".repeat(1025),
  ])("%j is refused", (text) => {
    expect(faultOf(() => fileName(text))).toBe("BAD_NAME");
  });

  test("a name of 1024 characters is the longest", () => {
    expect(fileName("a".repeat(1024))).toHaveLength(1024);
  });
});

describe("locate", () => {
  test.for([
    ["a.csv", "https://data.example.org/files/a.csv"],
    ["./b/a.csv", "https://data.example.org/files/b/a.csv"],
    ["a b.csv", "https://data.example.org/files/a%20b.csv"],
    [" a ", "https://data.example.org/files/%20a%20"],
    ["a%20b.csv", "https://data.example.org/files/a%20b.csv"],
    ["100%.csv", "https://data.example.org/files/100%25.csv"],
    ["a#b?.csv", "https://data.example.org/files/a%23b%3F.csv"],
    ["note:1.csv", "https://data.example.org/files/note:1.csv"],
  ])("the path %j is found at %s", ([path = "", url]) => {
    expect(locate(path, BASE).url).toBe(url);
  });

  test.for([
    ["https://example.org/a/data.csv", "example.org/a/data.csv"],
    ["https://example.org:8080/a%20b.csv", "example.org:8080/a b.csv"],
    ["https://example.org/a%2Fb.csv", "example.org/a%2Fb.csv"],
    ["https://example.org/%E0%A4%A.csv", "example.org/%E0%A4%A.csv"],
    ["https://example.org/get?file=a/../b.csv", "example.org/get?file=a%2F..%2Fb.csv"],
    ["https://example.org/dir/", "example.org/dir/index.html"],
  ])("the file at %s is called %s", ([url = "", path]) => {
    expect(locate(url, null)).toEqual({ url, path });
  });

  test("a URL too long for a name keeps a name of its own", () => {
    const [a, b] = ["1", "2"].map((end) => locate(`https://example.org/?${"x".repeat(2000)}${end}`, null));
    expect(a?.path).toHaveLength(1024);
    expect(a?.path).not.toBe(b?.path);
  });

  test("a path without a base is refused as NO_BASE_URL", () => {
    expect(faultOf(() => locate("a.csv", null))).toBe("NO_BASE_URL");
  });

  test("whatever the path, it stays below the base or is refused", () => {
    const piece = fc.oneof(
      fc.constantFrom("..", ".", "/", "//", "\\", "%2e", "%2E%2e", "%", "%zz", "?", "#", ":", "@", " ", "http", "a"),
      fc.string({ unit: "binary", maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join("");
        if (/^\s*https?:/i.test(text)) return;
        const found = locatedOrNull(text);
        expect(found?.url ?? BASE.href).toContain(BASE.href);
        expect(found?.path ?? "").not.toMatch(/^\/|(?:^|\/)\.\.(?:\/|$)/);
      }),
      { numRuns: 2000 },
    );
  });

  test("every web URL gets a name that is a file name", () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: true, size: "large" }), (url) => {
        const { path } = locate(url, null);
        expect(fileName(path)).toBe(path);
      }),
    );
  });
});

describe("baseOf", () => {
  test("a base URL given is a folder, with or without its last slash", () => {
    expect(baseOf("https://example.org/data", null)?.href).toBe("https://example.org/data/");
    expect(baseOf("https://example.org/data/", null)?.href).toBe("https://example.org/data/");
  });

  test("without one, paths start beside the catalog", () => {
    const base = baseOf(undefined, "https://example.org/set/datapackage.json?v=2");
    expect(locate("a.csv", base).url).toBe("https://example.org/set/a.csv");
    expect(baseOf(undefined, null)).toBeNull();
  });

  test.for(["data", "ftp://example.org/", "https://example.org/?dir=", "https://u:p@example.org/"])(
    "the base URL %s is refused",
    (baseUrl) => {
      expect(() => baseOf(baseUrl, null)).toThrow(DispatcherError);
      expect(() => baseOf(baseUrl, null)).toThrow("The base URL cannot be used.");
    },
  );
});
