import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const packageDir = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

function block(language: string): string {
  return new RegExp("^```" + language + "\\n(.*?)^```", "ms").exec(readme)?.[1] ?? "";
}

test("the README's example runs as it is and prints what the README says", async () => {
  const { stdout } = await promisify(execFile)(execPath, ["--input-type=module-typescript", "--eval", block("ts")], {
    cwd: packageDir,
  });
  expect(stdout).toBe(block("text"));
});
