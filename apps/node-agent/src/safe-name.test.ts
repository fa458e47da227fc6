import * as fc from "fast-check";
import { posix, win32 } from "node:path";
import { expect, test } from "vitest";
import { safeName } from "./safe-name.ts";

test("an ordinary name stays as it is", () => {
  for (const name of ["co2-concentration.csv", "Temperatur März 2024.tar.gz", "データ.nc", "a", "_nul"]) {
    expect(safeName(name)).toBe(name);
  }
});

test("of a path the last part is the name", () => {
  expect(safeName("data/2024/flights.parquet")).toBe("flights.parquet");
  expect(safeName("data\\2024\\flights.parquet")).toBe("flights.parquet");
  expect(safeName("data/2024/")).toBe("2024");
  expect(safeName("../../etc/passwd")).toBe("passwd");
  expect(safeName("a/..")).toBe("a");
});

test("a path without any name gets one", () => {
  for (const path of ["", "/", "..", "../..", ". .", "\\", " "]) expect(safeName(path), path).toBe("file");
});

test("edges that hide a file or get lost are cut, and what a system forbids is replaced", () => {
  expect(safeName(".bashrc")).toBe("bashrc");
  expect(safeName("  a.csv. ")).toBe("a.csv");
  expect(safeName('a<b>c:d"e|f?g*h%i.csv')).toBe("a_b_c_d_e_f_g_h_i.csv");
  expect(safeName("a\r\nb\0c.csv")).toBe("a__b_c.csv");
  expect(safeName("invoice\u202Evsc.exe")).toBe("invoice_vsc.exe");
  expect(safeName("\uD800.csv")).toBe("_.csv");
});

test("a device's name is never used, with any ending", () => {
  for (const name of ["con", "NUL.csv", "Aux.tar.gz", "COM1", "lpt9.txt", "com¹.x", "prn .csv"]) {
    expect(safeName(name)).toBe(`_${name}`);
  }
  expect(safeName("console.log")).toBe("console.log");
});

test("a long name is cut in front of its ending, between characters", () => {
  expect(safeName(`${"x".repeat(300)}.tar.gz`)).toBe(`${"x".repeat(133)}.tar.gz`);
  expect(safeName(`${"ü".repeat(300)}.csv`)).toBe(`${"ü".repeat(68)}.csv`);
  expect(safeName("👋".repeat(100))).toBe("👋".repeat(35));
});

test("whatever the path, the name is one part, short, portable, and safe already", () => {
  const nasty = fc.constantFrom(
    "/",
    "\\",
    "..",
    ".",
    " ",
    "\0",
    "con",
    "nul.",
    "%",
    ":",
    "é",
    "e\u0301",
    "\u200F",
    "a",
    ".csv",
  );
  const paths = fc.oneof(
    fc.string({ unit: "binary", maxLength: 400 }),
    fc.array(nasty, { maxLength: 200 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(paths, (path) => {
      const name = safeName(path);
      expect(Buffer.byteLength(name)).toBeGreaterThan(0);
      expect(Buffer.byteLength(name)).toBeLessThanOrEqual(140);
      expect(posix.basename(posix.resolve("/files", name))).toBe(name);
      expect(win32.basename(win32.resolve("C:\\files", name))).toBe(name);
      expect(name).not.toMatch(/[\p{Cc}\p{Cs}/\\<>:"|?*%]|^[. ]|[. ]$/u);
      expect(name.isWellFormed()).toBe(true);
      expect(safeName(name)).toBe(name);
    }),
    { numRuns: 1000 },
  );
});
