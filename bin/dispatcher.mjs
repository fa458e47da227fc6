#!/usr/bin/env node
// Plain JavaScript on purpose: it must run on any Node, old ones included, to say what is missing.
// Usage: node bin/dispatcher.mjs <server|agent|admin|demo> [arguments]
import { existsSync } from "node:fs";

const ENTRIES = {
  server: "../apps/server/src/main.ts",
  agent: "../apps/node-agent/src/main.ts",
  admin: "../apps/admin/src/main.ts",
  demo: "../apps/demo/src/main.ts",
};

function refuse(problem, advice) {
  process.stderr.write(`dispatcher: ${problem} ${advice}\n`);
  process.exit(78); // EX_CONFIG
}

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  refuse(
    `this is Node ${process.versions.node}, and 22.19 or newer is needed.`,
    "No bundled Node fits this machine: install Node 26 from your system's packages, then run the command again.",
  );
}

const [name, ...rest] = process.argv.slice(2);
const entry = Object.hasOwn(ENTRIES, name) ? ENTRIES[name] : undefined;
if (entry === undefined)
  refuse(`there is no program "${name ?? ""}".`, `Choose one of: ${Object.keys(ENTRIES).join(", ")}.`);
const url = new URL(entry, import.meta.url);
if (!existsSync(url)) refuse(`${url.pathname} is missing.`, "Run this from a complete checkout.");

// The program sees its own arguments only, as if it had been started directly.
process.argv = [process.argv[0], url.pathname, ...rest];
await import(url.href);
