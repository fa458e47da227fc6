import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ENTRY = fileURLToPath(new URL("dispatcher.mjs", import.meta.url));

function start(
  args: readonly string[],
  nodeVersion?: string,
): { readonly stderr: string; readonly exitStatus: number | null } {
  const pretend = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${nodeVersion}" } })`;
  const options = nodeVersion === undefined ? [] : ["--import", `data:text/javascript,${encodeURIComponent(pretend)}`];
  // Any folder will do: a program is found beside the entry, not below the folder somebody stands in.
  const { stderr, status } = spawnSync(process.execPath, [...options, ENTRY, ...args], {
    cwd: tmpdir(),
    encoding: "utf8",
  });
  return { stderr, exitStatus: status };
}

describe("the entry guard", () => {
  test.each(["18.20.8", "20.20.2", "22.18.0"])("Node %s is refused in one line that says what to do", (version) => {
    const { stderr, exitStatus } = start(["server"], version);
    expect(stderr).toContain(`this is Node ${version}, and 22.19 or newer is needed`);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(exitStatus).toBe(78);
  });

  test.each(["22.19.0", "23.0.0", "26.10.0"])(
    "Node %s is let through to the question which program to start",
    (version) => {
      expect(start([], version).stderr).toContain("there is no program");
    },
  );

  test("a program it does not know is refused with those it knows", () => {
    const { stderr, exitStatus } = start(["servre"]);
    expect(stderr).toBe('dispatcher: there is no program "servre". Choose one of: server, agent, admin, demo.\n');
    expect(exitStatus).toBe(78);
  });

  test.each(["constructor", "__proto__"])("%s, which every object has, is no program", (name) => {
    expect(start([name]).stderr).toContain(`there is no program "${name}"`);
  });
});
