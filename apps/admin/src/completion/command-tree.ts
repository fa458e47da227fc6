import type { Command, Option } from "commander";

/** A command with all that may stand behind it. */
export type CommandFacts = {
  /** `/node/get`; empty for the program itself. */
  readonly path: string;
  readonly description: string;
  /** Those of the program as well, which may stand anywhere. */
  readonly options: readonly OptionFacts[];
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  /** What its first word may be; null where it is no file and nothing that is known. */
  readonly words: "file" | readonly string[] | null;
};

export type OptionFacts = {
  /** `-o`, `--output`. */
  readonly flags: readonly string[];
  readonly description: string;
  /** What follows it; null where nothing does. */
  readonly value: "file" | "any" | readonly string[] | null;
};

const NAMES_A_FILE = /<(file|path|source)>/;

function optionFacts({ short, long, description, flags, argChoices, required, optional }: Option): OptionFacts {
  const takesValue = required || optional;
  const value = argChoices ?? (NAMES_A_FILE.test(flags) ? "file" : "any");
  return {
    flags: [short, long].filter((flag) => typeof flag === "string"),
    description,
    value: takesValue ? value : null,
  };
}

/** Every command of a program, the program first, each before its own. */
export function readCommands(program: Command): readonly CommandFacts[] {
  const common = visible(program);
  const walk = (command: Command, path: string): CommandFacts[] => {
    const own = path === "" ? [] : visible(command);
    const [argument] = command.registeredArguments;
    const isFile = argument !== undefined && NAMES_A_FILE.test(`<${argument.name()}>`);
    const subcommands = command.createHelp().visibleCommands(command);
    const commands = subcommands.filter((one) => one.name() !== "help");
    return [
      {
        path,
        description: command.description(),
        options: [...own, ...common].filter(
          (option, index, all) => all.findIndex((o) => o.flags.at(-1) === option.flags.at(-1)) === index,
        ),
        commands: commands.map((one) => ({ name: one.name(), description: one.description() })),
        words: argument?.argChoices ?? (isFile ? "file" : null),
      },
      ...commands.flatMap((one) => walk(one, `${path}/${one.name()}`)),
    ];
  };
  return walk(program, "");
}

function visible(command: Command): readonly OptionFacts[] {
  return command.createHelp().visibleOptions(command).map(optionFacts);
}

/** Flags behind which another word belongs to them, in whatever command. */
export function flagsWithValue(commands: readonly CommandFacts[]): readonly string[] {
  const flags = commands.flatMap(({ options }) => options.filter(({ value }) => value !== null));
  return [...new Set(flags.flatMap((option) => option.flags))].toSorted();
}
