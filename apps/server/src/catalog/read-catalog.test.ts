import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { formatDigest } from "@dispatcher/core";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CatalogEntry, CatalogItem } from "./entry.ts";
import { readCatalog } from "./read-catalog.ts";
import type { CatalogProgress, ReadCatalogOptions } from "./read-catalog.ts";

const BASE = "https://data.example.org/files/";
const NEVER = new AbortController().signal;

/** A folder of its own for one test. */
async function aFolder() {
  const path = await mkdtemp(join(tmpdir(), "catalog-test-"));
  return {
    path,
    write: async (name: string, content: string | Uint8Array): Promise<string> => {
      await writeFile(join(path, name), content);
      return join(path, name);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

/** A web server of its own for one test. */
async function aServer(answer: RequestListener) {
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

type Content = { readonly name?: string; readonly content: string | Uint8Array };

/** Everything a catalog says, read from a file called `name`. */
async function read({ name = "list.json", content }: Content, options: Partial<ReadCatalogOptions> = {}) {
  await using folder = await aFolder();
  return await readSource(await folder.write(name, content), options);
}

async function readSource(source: string, options: Partial<ReadCatalogOptions> = {}) {
  await using catalog = await readCatalog({ source, baseUrl: BASE, signal: NEVER, ...options });
  const items: CatalogItem[] = [];
  for await (const item of catalog.entries) items.push(item);
  expect(items).toHaveLength(catalog.itemCount);
  return { dataset: catalog.dataset, items, entries: entriesOf(items), faults: faultsOf(items) };
}

function entriesOf(items: readonly CatalogItem[]): readonly CatalogEntry[] {
  return items.flatMap((item) => (item.ok ? [item.entry] : []));
}

/** `[3] BAD_SIZE` for each item that is not an entry. */
function faultsOf(items: readonly CatalogItem[]): readonly string[] {
  return items.flatMap((item) => (item.ok ? [] : [`${item.place} ${item.code}`]));
}

const anEntry: CatalogEntry = {
  place: "[0]",
  path: "a.csv",
  url: `${BASE}a.csv`,
  sizeBytes: null,
  digest: null,
  mediaType: null,
  priority: null,
  removeByMs: null,
};

describe("a Frictionless data package", () => {
  test("the catalog of vega-datasets is read whole, with its sizes and digests", async () => {
    const source = fileURLToPath(new URL("../datapackage.json", import.meta.resolve("vega-datasets")));
    const raw = JSON.parse(await readFile(source, "utf8")) as {
      resources: { path: string; bytes: number; hash: string }[];
    };
    const { dataset, entries, faults } = await readSource(source);
    expect(dataset).toEqual({ key: "vega-datasets", title: null, sourceUrl: null });
    expect(faults).toEqual([]);
    expect(entries).toHaveLength(73);
    expect(entries.map(({ path, sizeBytes, digest }) => [path, sizeBytes, digest && formatDigest(digest)])).toEqual(
      raw.resources.map(({ path, bytes, hash }) => [path, bytes, hash]),
    );
    expect(entries[0]).toEqual({
      ...anEntry,
      place: "resources[0]",
      path: "7zip.png",
      url: `${BASE}7zip.png`,
      sizeBytes: 3969,
      digest: { algorithm: "sha1", hex: "6586d6c00887cd48850099c174a42bb1677ade0c" },
      mediaType: "image/png",
    });
  });

  test("what it says of itself is read, wherever it stands", async () => {
    const { dataset } = await read({
      content: JSON.stringify({
        resources: [{ path: "a.csv" }],
        name: "Gases/NOAA 2024",
        title: "  Greenhouse\ngases ",
        homepage: "git+ssh://example.org/x",
        sources: [{ title: "no page" }, null, { path: "https://example.org/gases#top" }],
      }),
    });
    expect(dataset).toEqual({
      key: "Gases-NOAA-2024",
      title: "Greenhouse gases",
      sourceUrl: "https://example.org/gases",
    });
  });

  test("a resource in several files is as many entries, none with the size and digest of the whole", async () => {
    const { entries, faults } = await read({
      content: JSON.stringify({
        resources: [
          { path: ["a.csv", "/b.csv", "c.csv"], bytes: 30, hash: "a".repeat(32), mediatype: "text/csv" },
          { path: ["d.csv"], bytes: 4, hash: "a".repeat(32) },
          { path: [] },
        ],
      }),
    });
    expect(entries).toEqual([
      { ...anEntry, place: "resources[0].path[0]", mediaType: "text/csv" },
      { ...anEntry, place: "resources[0].path[2]", path: "c.csv", url: `${BASE}c.csv`, mediaType: "text/csv" },
      {
        ...anEntry,
        place: "resources[1].path[0]",
        path: "d.csv",
        url: `${BASE}d.csv`,
        sizeBytes: 4,
        digest: { algorithm: "md5", hex: "a".repeat(32) },
      },
    ]);
    expect(faults).toEqual(["resources[0].path[1] BAD_NAME", "resources[2] NO_PATH"]);
  });

  test("each broken resource is told with its place, and the rest is read", async () => {
    const { entries, faults } = await read({
      content: JSON.stringify({
        resources: [
          { path: "ok.csv", schema: { fields: [{ name: "path", type: "string" }] }, data: [1] },
          { name: "inline", data: { rows: [[1, { path: "x" }], []] } },
          { name: "nothing" },
          { path: "../up.csv" },
          { path: 7 },
          { path: "neg.csv", bytes: -1 },
          { path: "frac.csv", bytes: 1.5 },
          { path: "big.csv", bytes: 2 ** 53 },
          { path: "hash.csv", hash: "sha1:nothex" },
          { path: "ftp://example.org/a.csv" },
          { path: "https://u:p@example.org/a.csv" },
          "ok.csv",
          null,
          ["ok.csv"],
          { path: "./ok.csv" },
          { path: `${BASE}ok.csv` },
          { path: "last.csv", bytes: 0, hash: null, mediatype: 7 },
        ],
      }),
    });
    expect(entries.map(({ path }) => path)).toEqual(["ok.csv", "last.csv"]);
    expect(faults).toEqual([
      "resources[1] INLINE_DATA",
      "resources[2] NO_PATH",
      "resources[3] BAD_NAME",
      "resources[4] BAD_NAME",
      "resources[5] BAD_SIZE",
      "resources[6] BAD_SIZE",
      "resources[7] BAD_SIZE",
      "resources[8] BAD_DIGEST",
      "resources[9] SCHEME_UNSUPPORTED",
      "resources[10] CREDENTIALS_IN_URL",
      "resources[11] BAD_ENTRY",
      "resources[12] BAD_ENTRY",
      "resources[13] BAD_ENTRY",
      "resources[14] DUPLICATE_PATH",
      "resources[15] DUPLICATE_URL",
    ]);
  });

  test("an entry that was refused does not make the next one a repeat", async () => {
    const { faults } = await read({
      content: JSON.stringify({ resources: [{ path: "a.csv", bytes: -1 }, { path: "a.csv" }] }),
    });
    expect(faults).toEqual(["resources[0] BAD_SIZE"]);
  });

  test("relative paths in a file without a base URL end with what to do", async () => {
    const content = JSON.stringify({ resources: [{ path: "a.csv" }, { data: [] }, { path: "b.csv" }] });
    await expect(read({ content }, { baseUrl: undefined })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      message: expect.stringContaining("pass --base-url"),
    });
  });

  test("URLs are taken without a base URL, and the relative paths beside them are told", async () => {
    const content = JSON.stringify({ resources: [{ path: "a.csv" }, { path: "https://example.org/b.csv" }] });
    const { entries, faults } = await read({ content }, { baseUrl: undefined });
    expect(entries.map(({ path }) => path)).toEqual(["example.org/b.csv"]);
    expect(faults).toEqual(["resources[0] NO_BASE_URL"]);
  });

  test("the key given wins over the package's name, and a bad one is refused", async () => {
    const content = JSON.stringify({ name: "theirs", resources: [] });
    expect((await read({ content }, { datasetKey: "ours" })).dataset.key).toBe("ours");
    await expect(read({ content }, { datasetKey: "no spaces" })).rejects.toMatchObject({ code: "INPUT_INVALID" });
  });

  test("a package without a name is called after its folder, and a list after its file", async () => {
    await using folder = await aFolder();
    await mkdir(join(folder.path, "Sea level"));
    const source = await folder.write("Sea level/datapackage.json", '{"resources": []}');
    expect((await readSource(source)).dataset.key).toBe("Sea-level");
    const list = await folder.write("ice.csv.gz", gzipSync("url\n"));
    expect((await readSource(list)).dataset.key).toBe("ice");
    const nameless = await folder.write("---.json", "[]");
    await expect(readSource(nameless)).rejects.toThrow("pass --dataset");
  });
});

describe("a plain list", () => {
  const sha256 = "b".repeat(64);
  const expected = [
    { ...anEntry, path: "ice/a.csv", url: "https://example.org/a.csv?v=1", sizeBytes: 10, mediaType: "text/csv" },
    {
      ...anEntry,
      place: "[1]",
      path: "b.csv",
      url: `${BASE}b.csv`,
      digest: { algorithm: "sha256", hex: sha256 },
      priority: 9,
      removeByMs: Date.UTC(2030, 0, 31),
    },
  ];
  const objects = [
    {
      url: "https://example.org/a.csv?v=1#x",
      name: "ice/a.csv",
      "Size bytes": 10,
      mediaType: "text/csv",
      color: "blue",
    },
    { path: "b.csv", url: null, sha256, md5: "c".repeat(32), size: "", priority: 9, remove_by: "2030-01-31" },
  ];

  test("a JSON array is read", async () => {
    expect((await read({ content: JSON.stringify(objects) })).entries).toEqual(expected);
  });

  test("an object with assets is read, and what it says of itself", async () => {
    const { entries, dataset } = await read({ content: JSON.stringify({ assets: objects, name: "ice" }) });
    expect(entries).toEqual(expected.map((entry) => ({ ...entry, place: `assets${entry.place}` })));
    expect(dataset.key).toBe("ice");
  });

  test("NDJSON is read, and a broken line is told and passed over", async () => {
    const lines = [JSON.stringify(objects[0]), "", '{"path": "cut', "7", JSON.stringify(objects[1])];
    const { entries, faults } = await read({ content: lines.join("\r\n") });
    expect(entries).toEqual(expected.map((entry, index) => ({ ...entry, place: `line ${[1, 5][index]}` })));
    expect(faults).toEqual(["line 3 BAD_ENTRY", "line 4 BAD_ENTRY"]);
  });

  const header = "url,path,Size bytes,SHA256,mediatype,priority,remove-by,color";
  const rows = ["https://example.org/a.csv?v=1,ice/a.csv,10,,text/csv,,,blue", `,b.csv,,${sha256},,9,2030-01-31,`];

  test.for([",", ";", "\t"])("CSV with %j between its cells is read", async (delimiter) => {
    const content = [header, ...rows].join("\n").replaceAll(",", delimiter);
    const { entries } = await read({ name: "list.csv", content });
    expect(entries).toEqual(expected.map((entry, index) => ({ ...entry, place: `line ${index + 2}` })));
  });

  test.for(["\n", "\r\n", "\r"])(
    "rows of CSV are told by the line they begin on, with %j as line break",
    async (eol) => {
      const content = [
        "path,size,note",
        'a.csv,1,"two',
        'lines"',
        "",
        "b.csv,-2,",
        "c.csv",
        'd.csv,4,"x"',
        "e.csv,,,",
      ].join(eol);
      const { entries, faults } = await read({ name: "list.csv", content });
      expect(entries.map(({ place, path }) => [place, path])).toEqual([
        ["line 2", "a.csv"],
        ["line 7", "d.csv"],
      ]);
      expect(faults).toEqual(["line 5 BAD_SIZE", "line 6 BAD_ENTRY", "line 8 BAD_ENTRY"]);
    },
  );

  test("each broken entry is told with its place, and the rest is read", async () => {
    const { entries, faults } = await read({
      content: JSON.stringify([
        { url: "https://example.org/ok.csv" },
        {},
        { name: "only-a-name" },
        { url: 7 },
        { url: "nonsense://" },
        { url: "https://example.org/1", path: "../x" },
        { url: "https://example.org/2", priority: 11 },
        { url: "https://example.org/3", remove_by: "soon" },
        { url: "https://example.org/4", sha1: sha256 },
        { url: "https://example.org/5", digest: 5 },
        { url: "https://example.org/6", path: "example.org/ok.csv" },
        { url: "https://EXAMPLE.org/ok.csv#again", path: "other.csv" },
      ]),
    });
    expect(entries.map(({ path }) => path)).toEqual(["example.org/ok.csv"]);
    expect(faults).toEqual([
      "[1] NO_PATH",
      "[2] NO_PATH",
      "[3] BAD_URL",
      "[4] SCHEME_UNSUPPORTED",
      "[5] BAD_NAME",
      "[6] BAD_PRIORITY",
      "[7] BAD_REMOVE_BY",
      "[8] BAD_DIGEST",
      "[9] BAD_DIGEST",
      "[10] DUPLICATE_PATH",
      "[11] DUPLICATE_URL",
    ]);
  });

  test.for([
    ["list.json", "[]"],
    ["list.json", '{"assets": []}'],
    ["list.json", '{"resources": []}'],
    ["list.csv", "url,size\n"],
  ])("an empty catalog has no entries: %s with %s", async ([name = "", content = ""]) => {
    expect((await read({ name, content })).items).toEqual([]);
  });

  test("any name survives CSV, quoted as CSV quotes", async () => {
    await using folder = await aFolder();
    const name = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => /^[^/\\.%\s\p{Cc}]+$/u.test(text));
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(name, { minLength: 1, maxLength: 10 }), async (names) => {
        const cells = names.map((one) => `"${one.replaceAll('"', '""')}"`);
        const { entries } = await readSource(await folder.write("list.csv", `path\n${cells.join("\n")}\n`), {
          format: "csv",
        });
        expect(entries.map(({ path }) => path)).toEqual(
          names.filter((one) => !/^(?:https?|file|data|doi|magnet|mailto|urn):/i.test(one)),
        );
      }),
      { numRuns: 50 },
    );
  });
});

describe("the text of a catalog", () => {
  const list = '{"assets": [{"path": "ä.csv"}]}';

  test("a byte order mark is passed over", async () => {
    expect((await read({ content: `\uFEFF${list}` })).entries).toHaveLength(1);
    expect((await read({ name: "list.csv", content: "\uFEFFpath\r\na.csv\r\n" })).entries).toHaveLength(1);
  });

  test("gzip is unpacked, whatever the file is called", async () => {
    expect((await read({ content: gzipSync(list) })).entries[0]?.path).toBe("ä.csv");
  });

  test.for<[string, Uint8Array, string]>([
    ["UTF-16 with a mark", Buffer.from(`\uFEFF${list}`, "utf16le"), "save it as UTF-8"],
    ["UTF-16 without one", Buffer.from(list, "utf16le"), "save it as UTF-8"],
    ["Latin-1", Buffer.from(list, "latin1"), "not valid UTF-8"],
    ["a gzip cut off", gzipSync(list).subarray(0, -12), "damaged or cut off"],
    ["a damaged gzip", gzipSync(list).fill(7, 12, 20), "damaged or cut off"],
    ["a ZIP archive", Buffer.from("PK\u0003\u0004......"), "unpack it first"],
    ["nothing", Buffer.alloc(0), "is empty"],
    ["blanks", Buffer.from(" \n\n"), "is empty"],
    ["a web page", Buffer.from("\n<!doctype html><html>"), "is a web page"],
    ["a text without columns", Buffer.from("hello\nworld\n"), "neither a column url nor a column path"],
    ["a single value", Buffer.from("[1, 2"), "ends in the middle"],
    ["an object without a list", Buffer.from('{"dataset": []}'), 'neither "resources" nor "assets"'],
    ["a list that is none", Buffer.from('{"resources": {}}'), "is not a list"],
  ])("%s is unreadable", async ([, bytes, why]) => {
    await expect(read({ content: bytes })).rejects.toMatchObject({
      code: "CATALOG_UNREADABLE",
      message: expect.stringContaining(why),
    });
  });

  test("a list has to be of the format asked for", async () => {
    await expect(read({ content: '{"resources": []}' }, { format: "json" })).rejects.toThrow("not a plain list");
    await expect(read({ content: "[]" }, { format: "frictionless" })).rejects.toThrow(
      "not a Frictionless data package",
    );
    await expect(read({ content: "url\n" }, { format: "json" })).rejects.toThrow("it is not JSON");
    expect(await read({ content: "[url]\n" }, { format: "csv" }).catch((error: Error) => error.message)).toContain(
      "column url",
    );
  });

  test("a syntax error far behind good entries is told with its line before any entry is handed out", async () => {
    const good = Array.from({ length: 5000 }, (_, index) => `  {"path": "file-${index}.csv"}`);
    const content = `[\n${good.join(",\n")},\n  {"path": "x.csv",}\n]`;
    await using folder = await aFolder();
    const source = await folder.write("list.json", content);
    await expect(readCatalog({ source, baseUrl: BASE, signal: NEVER })).rejects.toMatchObject({
      code: "CATALOG_UNREADABLE",
      message: expect.stringMatching(/not valid JSON at line 5002, column 20/),
    });
  });

  test.for([
    ['path,note\na.csv,1\nb.csv,"open\n', /not valid CSV: .*line 3/],
    ['path\na.csv\nb"c.csv\n', /not valid CSV: .*line 3/],
    [`path\n"${"x".repeat(2 ** 21)}"\n`, /not valid CSV/],
  ] as const)("broken quotes in CSV are unreadable (%#)", async ([text, why]) => {
    await expect(read({ name: "list.csv", content: text })).rejects.toMatchObject({
      code: "CATALOG_UNREADABLE",
      message: expect.stringMatching(why),
    });
  });

  test("a catalog above the size allowed is unreadable, packed or not", async () => {
    const large = `[${" ".repeat(200_000)}]`;
    for (const bytes of [Buffer.from(large), gzipSync(large)]) {
      await expect(read({ content: bytes }, { sizeMaxBytes: 100_000 })).rejects.toThrow("larger than the 100000 bytes");
    }
  });

  test("a single value that would fill the memory is unreadable", async () => {
    const content = gzipSync(`[{"path": "a.csv"}, {"path": "b.csv", "note": "${"x".repeat(65 * 2 ** 20)}"}]`);
    await expect(read({ content })).rejects.toThrow("a single value of more than 64 MiB");
  });

  test("it is cut into pieces anywhere without a difference", async () => {
    // Wide characters and escapes at every offset around the edge of a piece.
    const path = `${"ä€😀".repeat(5)}\\u00e9\\"x`;
    for (let offset = 65_536 - 60; offset < 65_536 + 4; offset += 1) {
      const start = '[{"path": "first.csv"}';
      const text = `${start}${" ".repeat(offset - start.length)},{"path": "${path}","bytes":12345}]`;
      const { entries } = await read({ content: text });
      expect(entries[1]).toMatchObject({ path: `${"ä€😀".repeat(5)}é"x`, sizeBytes: 12_345 });
    }
  });
});

describe("where a catalog comes from", () => {
  test.for<[string, (folder: string) => string, string]>([
    ["a file that is not there", (folder) => join(folder, "none.json"), "there is no such file"],
    ["a folder", (folder) => folder, "it is a folder"],
    ["a path through a file", (folder) => join(folder, "a.txt", "b"), "not a folder"],
    ["a scheme that is not read", () => "s3://bucket/list.json", "not from s3"],
    ["a URL with a password", () => "https://u:p@example.org/", "user name or password"],
    ["a server that is not there", () => "http://127.0.0.1:1/list.json", "127.0.0.1:1"],
  ])("%s is unreadable", async ([, sourceIn, why]) => {
    await using folder = await aFolder();
    await folder.write("a.txt", "");
    await expect(readSource(sourceIn(folder.path))).rejects.toMatchObject({
      code: "CATALOG_UNREADABLE",
      message: expect.stringContaining(why),
    });
  });

  test("a pipe is read like a file", async () => {
    await using folder = await aFolder();
    const pipe = join(folder.path, "pipe");
    await promisify(execFile)("mkfifo", [pipe]);
    const reading = readSource(pipe);
    const end = await open(pipe, "w");
    await end.writeFile('[{"path": "a.csv"}]');
    await end.close();
    expect((await reading).entries).toHaveLength(1);
  });

  test("a URL is read, and its relative paths start where redirects led", async () => {
    await using server = await aServer((request, response) => {
      if (request.url === "/latest") response.writeHead(302, { location: "/v2/sea/datapackage.json?x=1" }).end();
      else response.end('{"resources": [{"path": "a.csv"}]}');
    });
    const { dataset, entries } = await readSource(`${server.url}/latest`, { baseUrl: undefined });
    expect(entries[0]?.url).toBe(`${server.url}/v2/sea/a.csv`);
    expect(dataset).toEqual({ key: "sea", title: null, sourceUrl: `${server.url}/latest` });
  });

  test("progress tells the download and the check, each to its end", async () => {
    const text = JSON.stringify(Array.from({ length: 20_000 }, (_, index) => ({ path: `file-${index}` })));
    await using server = await aServer((_request, response) => {
      response.writeHead(200, { "content-length": text.length }).end(text);
    });
    const steps: CatalogProgress[] = [];
    await readSource(server.url, { onProgress: (step) => steps.push(step), datasetKey: "x" });
    for (const phase of ["downloading", "checking"] as const) {
      expect(steps.findLast((step) => step.phase === phase)).toEqual({
        phase,
        bytesDone: text.length,
        bytesTotal: text.length,
      });
    }
  });

  test.for<[string, RequestListener, string]>([
    ["404", (_request, response) => response.writeHead(404).end("no"), "answered 404"],
    ["500", (_request, response) => response.writeHead(500).end("no"), "answered 500"],
    ["a login page", (_request, response) => response.end("<html>log in</html>"), "is a web page"],
    [
      "a connection cut in the middle",
      (_request, response) => {
        response.writeHead(200, { "content-length": 1000 });
        response.write('[{"path": "a.csv"},', () => response.destroy());
      },
      "the download failed",
    ],
    [
      "a chunked answer cut in the middle",
      (_request, response) => {
        response.write('[{"path": "a.csv"}]', () => response.destroy());
      },
      "the download failed",
    ],
    ["a server that never answers", () => undefined, "nothing arrived for 0.2 seconds"],
    [
      "a server that stops in the middle",
      (_request, response) => {
        response.write("[");
      },
      "nothing arrived for 0.2 seconds",
    ],
    ["a redirect without end", (_request, response) => response.writeHead(302, { location: "/" }).end(), "redirect"],
    ["more than is allowed", (_request, response) => response.end(" ".repeat(10_001)), "larger than the 10000 bytes"],
  ])("%s is unreadable", async ([, answer, why]) => {
    await using server = await aServer(answer);
    const stallTimeoutMs = why.startsWith("nothing arrived") ? 200 : 10_000;
    await expect(readSource(server.url, { stallTimeoutMs, sizeMaxBytes: 10_000 })).rejects.toMatchObject({
      code: "CATALOG_UNREADABLE",
      message: expect.stringContaining(why),
    });
  });

  test("a slow server is waited for as long as bytes come", async () => {
    await using server = await aServer((_request, response) => {
      const text = '[{"path": "a.csv"}]';
      let sent = 0;
      const timer = setInterval(() => {
        if (sent < text.length) response.write(text[sent++]);
        else {
          clearInterval(timer);
          response.end();
        }
      }, 60);
    });
    expect((await readSource(server.url, { stallTimeoutMs: 900, datasetKey: "x" })).entries).toHaveLength(1);
  });

  test("an abort ends a download, and a reading", async () => {
    const reason = new Error("enough");
    const atDownload = new AbortController();
    await using server = await aServer(() => atDownload.abort(reason));
    await expect(readSource(server.url, { signal: atDownload.signal })).rejects.toBe(reason);

    const atEntries = new AbortController();
    await using folder = await aFolder();
    const list = Array.from({ length: 50_000 }, (_, index) => ({ path: `file-${index}` }));
    const source = await folder.write("list.json", JSON.stringify(list));
    await using catalog = await readCatalog({ source, baseUrl: BASE, signal: atEntries.signal });
    const drained = (async () => {
      for await (const { ok } of catalog.entries) if (ok) atEntries.abort(reason);
    })();
    await expect(drained).rejects.toBe(reason);
  });
});

/** Reads a catalog in a process whose heap could not hold it, and prints how many entries there were. */
const COUNT_ENTRIES = `
  const { readCatalog } = await import(${JSON.stringify(new URL("read-catalog.ts", import.meta.url).href)});
  const catalog = await readCatalog({ source: process.argv[1], baseUrl: "${BASE}", signal: new AbortController().signal });
  let count = 0;
  for await (const item of catalog.entries) count += item.ok ? 1 : 0;
  await catalog[Symbol.asyncDispose]();
  console.log(count);
`;

/** A data package of 200,000 files, and of inline data of which nothing may be kept. */
function aLargePackage(): string {
  const resources = Array.from({ length: 200_000 }, (_, index) => ({
    name: `r${index}`,
    path: `data/${index}.csv`,
    bytes: index,
    hash: `sha256:${"a".repeat(64)}`,
  }));
  const inline = { name: "inline", data: Array.from({ length: 100_000 }, () => [1, 2, 3, 4]) };
  return JSON.stringify({ resources: [...resources, inline], name: "large" });
}

test("a large catalog is read in a heap far smaller than itself", { timeout: 60_000 }, async () => {
  await using folder = await aFolder();
  const source = await folder.write("datapackage.json", aLargePackage());
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--max-old-space-size=48",
    "--max-semi-space-size=4",
    "--input-type=module",
    "--eval",
    COUNT_ENTRIES,
    source,
  ]);
  expect(stdout.trim()).toBe("200000");
});
