/** What the documents show of the admin command is what it understands: every example is parsed by its own words. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { readCommands } from "../src/completion/command-tree.ts";
import { createProgram } from "../src/program.ts";
import type { Runner } from "../src/session.ts";

const ROOT = join(import.meta.dirname, "../../..");

const idle = () => () => Promise.resolve();

/** All commands, none of which does anything. */
function createIdleProgram(): Command {
  const run = { client: idle, clientToItsEnd: idle, database: idle, alone: idle } as unknown as Runner;
  const program = createProgram(run, {} as Parameters<typeof createProgram>[1]);
  const catchExits = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
    for (const one of command.commands) catchExits(one);
  };
  catchExits(program);
  return program;
}

/** The words behind `pnpm admin` in each line that has it, up to a pipe, a redirection or a comment. */
function examplesIn(text: string): string[][] {
  return [...text.matchAll(/(?:pnpm (?:--silent )?admin|dispatcher-admin) (.*)$/gm)].flatMap(([, rest = ""]) => {
    const words = [...rest.matchAll(/"[^"]*"|'[^']*'|[^\s"'`)]+/g)].map(([word]) => word);
    const end = words.findIndex((word) => /^[|>#]|^2?>/.test(word));
    const own = (end === -1 ? words : words.slice(0, end)).map((word) => word.replaceAll(/^["']|["']$/g, ""));
    return own.length === 0 ? [] : [own];
  });
}

/** Lines of code in a document. */
function codeIn(path: string): string {
  const text = readFileSync(join(ROOT, path), "utf8");
  return [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].map(([, code]) => code).join("\n");
}

/** Which command the words mean; what is wrong with them is thrown. */
async function commandOf(words: readonly string[]): Promise<string> {
  const program = createIdleProgram();
  let path = "";
  program.hook("preAction", (_program, command) => {
    for (let at: Command | null = command; at !== null && at !== program; at = at.parent) path = `/${at.name()}${path}`;
  });
  await program.parseAsync([...words], { from: "user" }).catch((cause: unknown) => {
    throw new Error(`pnpm admin ${words.join(" ")}: ${String(cause)}`);
  });
  return path;
}

test("every example of the documents is understood, and docs/admin.md has one of each command", async () => {
  const documents = [
    "README.md",
    ...readdirSync(join(ROOT, "docs"))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `docs/${name}`),
  ];
  for (const document of documents) {
    for (const words of examplesIn(codeIn(document))) expect(await commandOf(words)).not.toBe("");
  }
  const shown = new Set<string>();
  const text = readFileSync(join(ROOT, "docs/admin.md"), "utf8");
  for (const words of examplesIn(codeIn("docs/admin.md"))) shown.add(await commandOf(words));
  const leaves = readCommands(createIdleProgram()).filter(({ commands }) => commands.length === 0);
  expect(leaves.length).toBeGreaterThan(30);
  expect(
    leaves
      .map(({ path }) => path)
      .filter((path) => !shown.has(path) && !text.includes(`admin${path.replaceAll("/", " ")}`)),
  ).toEqual([]);
});

test("every command's help has examples, which are its own and are understood", async () => {
  const visit = async (command: Command, path: string): Promise<void> => {
    for (const one of command.commands) await visit(one, `${path}/${one.name()}`);
    if (command.commands.length > 0) return;
    let help = "";
    command.configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    const examples = examplesIn(help.slice(help.indexOf("Examples:")));
    const found = await Promise.all(examples.map(commandOf));
    expect({ path, isShown: found.includes(path), others: found.filter((other) => other !== path) }).toEqual({
      path,
      isShown: true,
      others: [],
    });
  };
  await visit(createIdleProgram(), "");
});
