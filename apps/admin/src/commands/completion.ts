import { Argument, InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { bashCompletion } from "../completion/bash.ts";
import { readCommands } from "../completion/command-tree.ts";
import { fishCompletion } from "../completion/fish.ts";
import { zshCompletion } from "../completion/zsh.ts";
import { write } from "../io.ts";
import type { Runner } from "../session.ts";

const SCRIPTS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;
type Shell = keyof typeof SCRIPTS;

/** It becomes part of a script that a shell runs. */
function parseName(text: string): string {
  if (!/^[A-Za-z][A-Za-z0-9._-]*$/.test(text)) {
    throw new InvalidArgumentError("It has to be the name of a command.");
  }
  return text;
}

/** `admin completion`: a script for the shell, made from the commands that there are. */
export function addCompletion(program: Command, run: Runner): void {
  program
    .command("completion")
    .description("a script that lets your shell complete commands and options")
    .addArgument(new Argument("<shell>", "which one").choices(Object.keys(SCRIPTS)))
    .option("--name <command>", "what you call this command", parseName, "dispatcher-admin")
    .addHelpText(
      "after",
      `
A shell completes a command by its name. In the images that is dispatcher-admin; in a checkout make it one:

  dispatcher-admin() { pnpm --silent --dir /path/to/dispatcher admin "$@"; }

Examples:
  source <(pnpm --silent admin completion bash)          # in ~/.bashrc
  source <(pnpm --silent admin completion zsh)           # in ~/.zshrc, behind compinit
  pnpm --silent admin completion fish | source           # in ~/.config/fish/config.fish`,
    )
    .action(
      run.alone<{ readonly name: string }>(async ({ io }, { name }, shell = "") => {
        await write(io.stdout, SCRIPTS[shell as Shell](name, readCommands(program)), io.signal);
      }),
    );
}
