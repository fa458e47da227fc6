import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { describe, expect, onTestFinished, test } from "vitest";
import { createProgram } from "../program.ts";
import { Runner } from "../session.ts";
import { bashCompletion } from "./bash.ts";
import { readCommands } from "./command-tree.ts";
import { fishCompletion } from "./fish.ts";
import { zshCompletion } from "./zsh.ts";

const NAME = "dispatcher-admin";

function commandsOfAdmin(): ReturnType<typeof readCommands> {
  const io = {} as ConstructorParameters<typeof Runner>[0];
  return readCommands(createProgram(new Runner(io), io));
}

/** A shell that a developer may not have; CI may have more. */
function has(shell: string): boolean {
  return spawnSync(shell, ["-c", "exit 0"]).status === 0;
}

/** What bash offers behind these words, the last of which is being typed. */
function offeredByBash(...words: readonly string[]): string[] {
  const script = `${bashCompletion(NAME, commandsOfAdmin())}
    COMP_WORDS=(${[NAME, ...words].map((word) => `'${word}'`).join(" ")})
    COMP_CWORD=${words.length}
    _dispatcher_admin
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", script], { encoding: "utf8" })
    .split("\n")
    .filter((word) => word !== "");
}

/** What fish offers at the end of this line. */
function offeredByFish(line: string): string[] {
  const script = `${fishCompletion(NAME, commandsOfAdmin())}\ncomplete -C '${line}'`;
  const words = execFileSync("fish", ["--no-config", "-c", script], { encoding: "utf8" }).split("\n");
  return words.flatMap((word) => (word === "" ? [] : [word.split("\t")[0] ?? ""]));
}

describe("bash", () => {
  test("the script is valid", () => {
    const input = bashCompletion(NAME, commandsOfAdmin());
    expect(spawnSync("bash", ["-n"], { input, encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
  });

  test("commands are offered, and those within others", () => {
    expect(offeredByBash("st")).toEqual(["status", "stats"]);
    expect(offeredByBash("node", "")).toEqual(["get", "drain", "undrain", "block", "unblock", "retire", "message"]);
    expect(offeredByBash("completion", "")).toEqual(["bash", "zsh", "fish"]);
  });

  test("options are offered where they belong, those of the program everywhere", () => {
    expect(offeredByBash("assets", "--st")).toEqual(["--state", "--starts-with"]);
    expect(offeredByBash("node", "retire", "--")).toEqual([
      "--yes",
      "--reason",
      "--help",
      "--version",
      "--output",
      "--url",
      "--key",
      "--key-file",
    ]);
    expect(offeredByBash("status", "--state")).toEqual([]);
  });

  test("words that are allowed are offered, and a value is taken for no command", () => {
    expect(offeredByBash("assets", "--state", "")).toEqual(["wanted", "gone", "review", "withdrawn"]);
    expect(offeredByBash("-o", "")).toEqual(["table", "json", "ndjson", "csv"]);
    expect(offeredByBash("nodes", "-o", "n")).toEqual(["ndjson"]);
    expect(offeredByBash("--url", "node", "key", "")).toEqual(["create", "revoke"]);
    expect(offeredByBash("assets", "--dataset", "")).toEqual([]);
  });

  test("files are offered where one is named", () => {
    expect(offeredByBash("import", "/et")).toEqual(["/etc"]);
    expect(offeredByBash("import-state", "/et")).toEqual(["/etc"]);
    expect(offeredByBash("--key-file", "/et")).toEqual(["/etc"]);
    expect(offeredByBash("export", "--out", "/et")).toEqual(["/etc"]);
    expect(offeredByBash("status", "/et")).toEqual([]);
  });
});

test.skipIf(!has("zsh"))("the script for zsh is valid", () => {
  const input = zshCompletion(NAME, commandsOfAdmin());
  expect(spawnSync("zsh", ["-n"], { input, encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
});

describe.skipIf(!has("fish"))("fish", () => {
  test("the script is valid", () => {
    const folder = mkdtempSync(join(tmpdir(), "completion-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "completion.fish");
    writeFileSync(file, fishCompletion(NAME, commandsOfAdmin()));
    const parsed = spawnSync("fish", ["--no-config", "-n", file], { encoding: "utf8" });
    expect(parsed).toMatchObject({ status: 0, stderr: "" });
  });

  test("commands, options and allowed words are offered", () => {
    expect(offeredByFish(`${NAME} node un`)).toEqual(["unblock", "undrain"]);
    expect(offeredByFish(`${NAME} assets --state w`)).toEqual(["wanted", "withdrawn"]);
    expect(offeredByFish(`${NAME} --url node key `)).toEqual(["create", "revoke"]);
  });
});

test("quotes and colons in a description are no part of a script's own", () => {
  const program = new Command("x").option("-o, --output <format>", "how");
  program.command("all").description('what\'s `here`: $HOME \\ "all"');
  const commands = readCommands(program);
  expect(spawnSync("bash", ["-n"], { input: bashCompletion("x", commands) }).status).toBe(0);
  expect(zshCompletion("x", commands)).toContain("'all:what'\\''s `here`: $HOME \\ \"all\"'");
  expect(fishCompletion("x", commands)).toContain("-d 'what\\'s `here`: $HOME \\\\ \"all\"'");
});
