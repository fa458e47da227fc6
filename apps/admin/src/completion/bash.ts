import { flagsWithValue } from "./command-tree.ts";
import type { CommandFacts } from "./command-tree.ts";

/** For bash 3.2 and newer, as macOS has it. */
export function bashCompletion(name: string, commands: readonly CommandFacts[]): string {
  const functionName = `_${name.replaceAll(/[^A-Za-z0-9]/g, "_")}`;
  const paths = commands.flatMap(({ path }) => (path === "" ? [] : [path]));
  const values = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, value }) => {
      if (value === null) return [];
      const patterns = flags.map((flag) => `"${path} ${flag}"`).join(" | ");
      const reply = value === "any" ? ":" : value === "file" ? "files=1" : `words="${value.join(" ")}"`;
      return [`    ${patterns}) isValue=1 ${reply === ":" ? "" : reply} ;;`.replace("  ;;", " ;;")];
    }),
  );
  const flags = commands.map(
    ({ path, options }) => `      "${path}") words="${options.flatMap((option) => option.flags).join(" ")}" ;;`,
  );
  const words = commands.flatMap(({ path, commands: below, words: first }) => {
    if (first === "file") return [`      "${path}") files=1 ;;`];
    const list = first ?? below.map((one) => one.name);
    return list.length === 0 ? [] : [`      "${path}") words="${list.join(" ")}" ;;`];
  });
  return `# bash completion of ${name}: load it with  source <(${name} completion bash)
${functionName}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD - 1]}"
  local path="" words="" files="" isValue="" skip="" index word
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    if [[ -n $skip ]]; then skip=""; continue; fi
    case "$path/$word" in
      ${paths.join(" | ")}) path="$path/$word" ;;
      ${flagsWithValue(commands)
        .map((flag) => `*/${flag}`)
        .join(" | ")}) skip=1 ;;
    esac
  done
  case "$path $previous" in
${values.join("\n")}
  esac
  if [[ -z $isValue && $current == -* ]]; then
    case "$path" in
${flags.join("\n")}
    esac
  elif [[ -z $isValue ]]; then
    case "$path" in
${words.join("\n")}
    esac
  fi
  if [[ -n $files ]]; then
    COMPREPLY=($(compgen -f -- "$current"))
    compopt -o filenames 2>/dev/null
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -F ${functionName} ${name}
`;
}
