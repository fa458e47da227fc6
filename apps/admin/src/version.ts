import { readFileSync } from "node:fs";

/** The version of this command, as its package.json says; the file lies above both `src` and `dist`. */
export const VERSION = readVersion();

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const { version } = manifest as { readonly version?: unknown };
  if (typeof version !== "string") throw new Error("The admin command's package.json has no version.");
  return version;
}
