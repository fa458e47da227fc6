/**
 * Settings from arguments and environment, arguments first, read once and checked whole: every fault is told in one error,
 * so that nobody starts five times to learn five of them. Each variable may be given as NAME_FILE instead, the path of a
 * file that holds the value: a token in an argument is there for every user of the machine to read.
 */
import { readFileSync } from "node:fs";
import { DispatcherError } from "@dispatcher/core";
import { z } from "zod";
import { parseByteSize } from "./byte-size.ts";
import { LOG_LEVELS } from "./log.ts";

const size = z.string().transform((text, context) => {
  const bytes = parseByteSize(text);
  if (bytes !== null) return bytes;
  context.addIssue({ code: "custom", message: "a size such as 500GB, 1.5TB, 200MB or a number of bytes" });
  return z.NEVER;
});

const MS_BY_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `1500` or `1500ms`, `60s`, `5m`, `1h`. */
const durationMs = (leastMs: number) =>
  z.string().transform((text, context) => {
    const match = /^(\d{1,9})(ms|s|m|h)?$/.exec(text.trim());
    const ms = match === null ? -1 : Number(match[1]) * (MS_BY_UNIT[match[2] ?? "ms"] ?? 1);
    if (ms >= leastMs && ms <= 86_400_000) return ms;
    context.addIssue({
      code: "custom",
      message: `milliseconds, or a time such as 60s or 5m, from ${leastMs} ms to 24 h`,
    });
    return z.NEVER;
  });

const SETTINGS = {
  home: {
    variable: "DISPATCHER_AGENT_HOME",
    flag: "--home",
    fallback: "./.dispatcher-agent",
    shape: z.string().min(1, "the path of a folder"),
  },
  url: {
    variable: "DISPATCHER_URL",
    flag: "--url",
    shape: z.url({ protocol: /^https?$/, error: "an http or https URL" }),
  },
  token: {
    variable: "DISPATCHER_JOIN_TOKEN",
    flag: "--token",
    shape: z
      .string()
      .trim()
      .regex(/^.{1,200}$/s, "1 to 200 characters"),
  },
  name: {
    variable: "DISPATCHER_AGENT_NAME",
    flag: "--name",
    shape: z
      .string()
      .trim()
      .regex(/^[^\p{Cc}]{1,100}$/u, "one line of 1 to 100 characters"),
  },
  capacity: {
    variable: "DISPATCHER_AGENT_CAPACITY",
    flag: "--capacity",
    shape: size.refine((bytes) => bytes > 0, "more than nothing"),
  },
  margin: { variable: "DISPATCHER_AGENT_MARGIN", flag: "--margin", shape: size },
  concurrency: {
    variable: "DISPATCHER_AGENT_CONCURRENCY",
    flag: "--concurrency",
    fallback: "2",
    shape: z
      .string()
      .regex(/^[1-6]$/, "a whole number from 1 to 6")
      .transform(Number),
  },
  patience: { variable: "DISPATCHER_AGENT_PATIENCE", flag: "--patience", fallback: "60s", shape: durationMs(1) },
  privateOrigins: {
    variable: "DISPATCHER_AGENT_PRIVATE_ORIGINS",
    flag: "--private-origins",
    fallback: "refuse",
    shape: z.enum(["refuse", "allow"], "refuse or allow"),
  },
  stopAfter: { variable: "DISPATCHER_AGENT_STOP_AFTER", flag: "--stop-after", fallback: "10s", shape: durationMs(0) },
  logLevel: {
    variable: "LOG_LEVEL",
    flag: "--log-level",
    fallback: "INFO",
    shape: z.enum(LOG_LEVELS, "DEBUG, INFO, WARNING or ERROR"),
  },
} as const satisfies Record<
  string,
  { readonly variable: string; readonly flag: string; readonly fallback?: string; readonly shape: z.ZodType }
>;

export type SettingName = keyof typeof SETTINGS;
type Value<Name extends SettingName> = z.output<(typeof SETTINGS)[Name]["shape"]>;
export type Settings<Needed extends SettingName, Optional extends SettingName = never> = {
  readonly [Name in Needed]: Value<Name>;
} & { readonly [Name in Optional]: Value<Name> | null };

type Environment = Readonly<Record<string, string | undefined>>;
/** Where settings come from: arguments by their setting's name, `tokenFile` for the path of a file with the token. */
export type Sources = {
  readonly flags: Readonly<Partial<Record<SettingName | "tokenFile", string>>>;
  readonly env: Environment;
};

type Given = { readonly text: string; readonly from: string };

/**
 * @throws DispatcherError CONFIG_INVALID that names every fault by its argument or variable, with what was given (a token
 * never) and what is allowed
 */
export function readSettings<Needed extends SettingName, Optional extends SettingName = never>(
  { needed, optional = [] }: { readonly needed: readonly Needed[]; readonly optional?: readonly Optional[] },
  sources: Sources,
): Settings<Needed, Optional> {
  const faults: string[] = [];
  const values = [...needed, ...optional].map((name) => {
    const { flag, variable, shape } = SETTINGS[name];
    const given = findValue(name, sources, faults);
    if (given === null) {
      const isNeeded = (needed as readonly SettingName[]).includes(name);
      if (isNeeded && faults.every((fault) => !fault.startsWith(flag)))
        faults.push(`${flag} (or ${variable}) is missing`);
      return [name, null];
    }
    const parsed = shape.safeParse(given.text);
    if (parsed.success) return [name, parsed.data];
    const shown = name === "token" ? "(not shown)" : given.text;
    faults.push(`${given.from} ${shown}: ${parsed.error.issues.map(({ message }) => message).join(", ")}`);
    return [name, null];
  });
  if (faults.length > 0) {
    throw new DispatcherError(
      "CONFIG_INVALID",
      `There are faults (${faults.length}) in the settings: ${faults.join("; ")}.`,
    );
  }
  return Object.fromEntries(values) as Settings<Needed, Optional>;
}

/** The first that is given of: argument, variable, file that the variable names, fallback. Empty counts as not given. */
function findValue(name: SettingName, { flags, env }: Sources, faults: string[]): Given | null {
  const setting: { readonly variable: string; readonly flag: string; readonly fallback?: string } = SETTINGS[name];
  const { variable, flag, fallback } = setting;
  if (flags[name] !== undefined) return { text: flags[name], from: flag };
  if (name === "token" && flags.tokenFile !== undefined)
    return readValue(flags.tokenFile, { name: "--token-file", flag }, faults);
  const direct = env[variable];
  if (direct !== undefined && direct !== "") return { text: direct, from: variable };
  const file = env[`${variable}_FILE`];
  if (file !== undefined && file !== "") return readValue(file, { name: `${variable}_FILE`, flag }, faults);
  return fallback === undefined ? null : { text: fallback, from: flag };
}

function readValue(
  path: string,
  { name, flag }: { readonly name: string; readonly flag: string },
  faults: string[],
): Given | null {
  try {
    return { text: readFileSync(path, "utf8").replace(/\r?\n$/, ""), from: name };
  } catch (cause) {
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    faults.push(`${flag} cannot be read from ${name} ${path} (${reason})`);
    return null;
  }
}
