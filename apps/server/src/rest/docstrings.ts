/**
 * What the procedures say of themselves in their docstrings, so that it is written once. The files are read as they run, of
 * TypeScript or built, which keeps comments; where they cannot be read, nothing is known and nothing breaks.
 */
import { readFileSync, readdirSync } from "node:fs";
import { basename, extname, join } from "node:path";

const FOLDER = join(import.meta.dirname, "../router");
const DOCUMENTED = /\/\*\*((?:(?!\*\/)[^])*)\*\/\s*(\w+):\s*\w*[pP]rocedure\b/g;

/** By the path of the procedure, `asset.list`: one paragraph. A router's file is named after its noun. */
export function readDocstrings(): ReadonlyMap<string, string> {
  return new Map(filesOf(FOLDER).flatMap(({ noun, source }) => docstringsOf(noun, source)));
}

function docstringsOf(noun: string, source: string): readonly (readonly [path: string, text: string])[] {
  return [...source.matchAll(DOCUMENTED)].map(([, comment = "", verb = ""]) => {
    const text = comment
      .split("\n")
      .map((line) => line.replace(/^\s*\*?/, "").trim())
      .filter((line) => line !== "")
      .join(" ");
    return [`${noun}.${verb}`, text];
  });
}

function filesOf(folder: string): readonly { readonly noun: string; readonly source: string }[] {
  try {
    return readdirSync(folder)
      .filter((file) => /^[a-z-]+\.(ts|js)$/.test(file))
      .map((file) => ({ noun: basename(file, extname(file)), source: readFileSync(join(folder, file), "utf8") }));
  } catch {
    return [];
  }
}
