/**
 * The programs run unbuilt, so the oldest Node in `engines` has to read their syntax as it stands: erasing types
 * translates nothing. The compiler does not judge this, and on the Node we develop with all of it works.
 * Tests are free to use it: vitest translates them.
 */
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

test("no program declares with `using`, which Node 22 cannot read", () => {
  const sources = globSync("{apps,packages}/*/src/**/*.ts", { cwd: ROOT, exclude: ["**/*.test.ts", "**/*.test-d.ts"] });
  expect(sources).toContain("apps/server/src/main.ts");
  const found = sources.flatMap((path) =>
    readFileSync(new URL(`../${path}`, import.meta.url), "utf8")
      .split("\n")
      .flatMap((line, index) =>
        /^\s*(await )?using \w+ =|\((await )?using \w+ of/.test(line) ? [`${path}:${index + 1}`] : [],
      ),
  );
  expect(found).toEqual([]);
});
