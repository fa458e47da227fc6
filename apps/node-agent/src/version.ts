import { readFileSync } from "node:fs";

/** This agent's version, as its package states it; the path is the same from `src` and from `dist`. */
export const AGENT_VERSION = readVersion();

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  if (
    typeof manifest === "object" &&
    manifest !== null &&
    "version" in manifest &&
    typeof manifest.version === "string"
  ) {
    return manifest.version;
  }
  throw new Error("The agent's package.json has no version.");
}
