import { flagsWithValue } from "./command-tree.ts";
import type { CommandFacts, OptionFacts } from "./command-tree.ts";

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function optionOf({ flags, description, value }: OptionFacts): string {
  const names = flags.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const follows =
    value === null
      ? []
      : value === "file"
        ? ["-r -F"]
        : value === "any"
          ? ["-x"]
          : [`-x -a ${quoted(value.join(" "))}`];
  return [...names, ...follows, `-d ${quoted(description)}`].join(" ");
}

export function fishCompletion(name: string, commands: readonly CommandFacts[]): string {
  const prefix = `__${name.replaceAll(/[^A-Za-z0-9]/g, "_")}`;
  const paths = commands.flatMap(({ path }) => (path === "" ? [] : [path]));
  const lines = commands.flatMap(({ path, options, commands: below, words }) => {
    const at = `complete -c ${name} -n "${prefix}_at '${path}'"`;
    return [
      ...below.map((one) => `${at} -a ${one.name} -d ${quoted(one.description)}`),
      ...(words === "file" ? [`${at} -F`] : (words ?? []).map((word) => `${at} -a ${word}`)),
      ...options.map((option) => `${at} ${optionOf(option)}`),
    ];
  });
  return `# fish completion of ${name}: load it with  ${name} completion fish | source
function ${prefix}_at
    set -l path ''
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch "$path/$word"
            case ${paths.join(" ")}
                set path "$path/$word"
            case ${flagsWithValue(commands)
              .map((flag) => `'*/${flag}'`)
              .join(" ")}
                set skip 1
        end
    end
    test "$path" = "$argv[1]"
end
complete -c ${name} -f
${lines.join("\n")}
`;
}
