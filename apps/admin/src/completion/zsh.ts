import { flagsWithValue } from "./command-tree.ts";
import type { CommandFacts } from "./command-tree.ts";

/** In single quotes, as a part of `name:description`. */
function entry(name: string, description: string): string {
  return `'${name.replaceAll(":", "\\:")}:${description.replaceAll("'", "'\\''")}'`;
}

export function zshCompletion(name: string, commands: readonly CommandFacts[]): string {
  const functionName = `_${name.replaceAll(/[^A-Za-z0-9]/g, "_")}`;
  const paths = commands.flatMap(({ path }) => (path === "" ? [] : [path]));
  const values = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, value }) => {
      if (value === null) return [];
      const reply = value === "any" ? "" : value === "file" ? "_files; " : `compadd -- ${value.join(" ")}; `;
      return [`    ${flags.map((flag) => `"${path} ${flag}"`).join(" | ")}) ${reply}return ;;`];
    }),
  );
  const flags = commands.map(({ path, options }) => {
    const all = options.flatMap((option) => option.flags.map((flag) => entry(flag, option.description)));
    return `      "${path}") found=(${all.join(" ")}) ;;`;
  });
  const words = commands.flatMap(({ path, commands: below, words: first }) => {
    if (first === "file") return [`      "${path}") _files; return ;;`];
    const all = first?.map((word) => entry(word, "")) ?? below.map((one) => entry(one.name, one.description));
    return all.length === 0 ? [] : [`      "${path}") found=(${all.join(" ")}) ;;`];
  });
  return `#compdef ${name}
# zsh completion of ${name}: load it with  source <(${name} completion zsh)  behind compinit
${functionName}() {
  local here="" skip="" word current="\${words[CURRENT]}" previous="\${words[CURRENT-1]}"
  local -a found
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $skip ]]; then skip=""; continue; fi
    case "$here/$word" in
      ${paths.join(" | ")}) here="$here/$word" ;;
      ${flagsWithValue(commands)
        .map((flag) => `*/${flag}`)
        .join(" | ")}) skip=1 ;;
    esac
  done
  case "$here $previous" in
${values.join("\n")}
  esac
  if [[ $current == -* ]]; then
    case "$here" in
${flags.join("\n")}
    esac
  else
    case "$here" in
${words.join("\n")}
    esac
  fi
  (( \${#found} )) && _describe '${name}' found
}
compdef ${functionName} ${name}
`;
}
