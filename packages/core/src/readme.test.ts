import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { execPath } from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const packageDir = fileURLToPath(new URL("..", import.meta.url));

test.each(["../README.md", "../../../docs/allocation.md"])(
  "the example in %s runs as it is and prints what the page says",
  async (page) => {
    const text = readFileSync(new URL(page, import.meta.url), "utf8");
    const [, code, printed] = /^```ts\n(.*?)^```.*?^```text\n(.*?)^```/ms.exec(text) ?? [];
    const { stdout } = await promisify(execFile)(execPath, ["--input-type=module-typescript", "--eval", code ?? ""], {
      cwd: packageDir,
    });
    expect(stdout).toBe(printed);
  },
);
