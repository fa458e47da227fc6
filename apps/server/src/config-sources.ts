/**
 * Where settings come from: the environment; a file of them, `.env` in the working directory; and for each NAME the file
 * that NAME_FILE names, as container secrets are given.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

export type Environment = Readonly<Record<string, string | undefined>>;

/** For people: `environment`, `./.env`, `/run/secrets/key`. */
export type Source = string;

export type GatheredSettings = {
  readonly values: ReadonlyMap<string, string>;
  readonly sources: ReadonlyMap<string, Source>;
  readonly faults: readonly string[];
  readonly warnings: readonly string[];
};

/** Names the file of settings; `none` for none. It cannot stand in that file itself. */
const ENV_FILE = "DISPATCHER_ENV_FILE";
const ENV_FILE_DEFAULT = ".env";

/** Names of our own that other programs read: the agent, compose files, and what Kubernetes sets for a service of our name. */
const NAME_OF_OTHERS = /^DISPATCHER_(AGENT_\w+|JOIN_TOKEN(_FILE)?|URL|PUBLISH|SERVICE_\w+|PORT_\d\w*)$/;

/** More letters apart than this, as a part of the name, and it is another name. */
const NEAR_ENOUGH = 0.4;

/** What of `names` is given, and where. A variable that is empty counts as not given. */
export function gatherSettings(names: readonly string[], env: Environment, folder: string): GatheredSettings {
  const faults: string[] = [];
  const file = readEnvFile(env, folder, faults);
  const values = new Map<string, string>();
  const sources = new Map<string, Source>();
  for (const name of names) {
    // The environment is asked for both forms first: one of them in the file says nothing then.
    const isInEnv = env[name] !== undefined || (hasFileForm(name) && env[`${name}_FILE`] !== undefined);
    const found = isInEnv
      ? valueOf({ name, from: env, source: "environment" }, faults)
      : valueOf({ name, from: file.env, source: file.path }, faults);
    if (found === null) continue;
    values.set(name, found.value);
    sources.set(name, found.source);
  }
  const given = new Set([...Object.keys(file.env), ...Object.keys(env)]);
  return { values, sources, faults, warnings: warningsOf(names, given) };
}

/** A setting that is a path is given as such: there is no file with the path of the file. */
function hasFileForm(name: string): boolean {
  return !name.endsWith("_FILE");
}

function readEnvFile(env: Environment, folder: string, faults: string[]): { path: string; env: Environment } {
  const chosen = env[ENV_FILE] === "" ? undefined : env[ENV_FILE];
  const path = chosen ?? ENV_FILE_DEFAULT;
  if (path === "none") return { path, env: {} };
  try {
    return { path, env: parseEnv(readFileSync(join(path.startsWith("/") ? "" : folder, path), "utf8")) };
  } catch (cause) {
    // Nobody has to have one; whoever names one has.
    if (codeOf(cause) !== "ENOENT" || chosen !== undefined) {
      faults.push(`${ENV_FILE}=${path}: cannot be read (${codeOf(cause)})`);
    }
    return { path, env: {} };
  }
}

/** The value of NAME, or what the file of NAME_FILE holds without the line break at its end. */
function valueOf(
  { name, from, source }: { readonly name: string; readonly from: Environment; readonly source: Source },
  faults: string[],
): { readonly value: string; readonly source: Source } | null {
  const direct = from[name] === "" ? undefined : from[name];
  const file = hasFileForm(name) ? from[`${name}_FILE`] : undefined;
  if (file === undefined || file === "") return direct === undefined ? null : { value: direct, source };
  if (direct !== undefined) {
    faults.push(`${name} and ${name}_FILE are both set: keep one`);
    return { value: direct, source };
  }
  try {
    return { value: readFileSync(file, "utf8").replace(/\r?\n$/, ""), source: file };
  } catch (cause) {
    faults.push(`${name}_FILE=${file} cannot be read (${codeOf(cause)})`);
    return null;
  }
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
}

/** A name that begins as ours do and is none: a setting that its author believes to have made. */
function warningsOf(names: readonly string[], given: ReadonlySet<string>): readonly string[] {
  const known = new Set([...names, ...names.filter(hasFileForm).map((name) => `${name}_FILE`), ENV_FILE]);
  return [...given]
    .filter((name) => name.startsWith("DISPATCHER_") && !known.has(name) && !NAME_OF_OTHERS.test(name))
    .toSorted()
    .map((name) => {
      const [nearest] = [...known]
        .map((one) => ({ one, apart: lettersApart(name, one) }))
        .filter(({ apart }) => apart <= NEAR_ENOUGH * name.length)
        .toSorted((a, b) => a.apart - b.apart || (a.one < b.one ? -1 : 1));
      return `${name} is no setting of the server and was ignored${nearest === undefined ? "" : `: ${nearest.one} is one`}.`;
    });
}

/** Letters to insert, delete or replace to make one word of the other. Source: Levenshtein 1966; Wagner and Fischer 1974. */
function lettersApart(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [line, letter] of a.split("").entries()) {
    let diagonal = row[0] ?? 0;
    const next = [line + 1];
    for (const [column, other] of b.split("").entries()) {
      const above = row[column + 1] ?? 0;
      next.push(Math.min(above + 1, (next[column] ?? 0) + 1, diagonal + (letter === other ? 0 : 1)));
      diagonal = above;
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
