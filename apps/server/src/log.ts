import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";
import pinoPretty from "pino-pretty";

export type Log = Logger;

const PINO_LEVEL = { DEBUG: "debug", INFO: "info", WARNING: "warn", ERROR: "error" } as const;
const LEVEL_BY_PINO: Readonly<Record<string, string>> = { trace: "DEBUG", warn: "WARNING", fatal: "ERROR" };

/** Whatever is called so is a secret, however deep it stands. */
const SECRET_FIELD =
  /"(key|joinToken|token|secret|password|passphrase|authorization|proxy-authorization|cookie|set-cookie)":(?:"(?:[^"\\]|\\.)*"|\[[^\]]*\])/gi;
/** What gives itself away in a text: a password in a URL, one among its parameters, a bearer's token, a key of ours. */
const SECRET_TEXTS: readonly (readonly [pattern: RegExp, shown: string])[] = [
  [/(:\/\/[^\s:@/"\\]*):[^\s@/"\\]+@/g, "$1:[secret]@"],
  [/([?&](?:[\w-]*[-_])?(?:password|(?:access)?token|secret|signature|(?:api)?key)=)[^&\s"\\]+/gi, "$1[secret]"],
  [/\b(Bearer) +[\w.~+/=-]+/gi, "$1 [secret]"],
  [/\b(dsp_[a-z]+_)[\w-]{8,}/g, "$1[secret]"],
];

/** A line of the log, JSON, without what nobody may read in it. */
function withoutSecrets(line: string, known: readonly string[]): string {
  let shown = line.replace(SECRET_FIELD, '"$1":"[secret]"');
  for (const [pattern, put] of SECRET_TEXTS) shown = shown.replace(pattern, put);
  for (const secret of known) shown = shown.replaceAll(secret, "[secret]");
  return shown;
}

/**
 * JSON lines, or readable ones on a terminal. Every line has an `event`, a fixed word for programs, and the level by the name
 * that LOG_LEVEL has for it. Secrets are cut out of the finished line, wherever they have slipped in: into a field, a message,
 * the stack of an error.
 */
export function createLog(options: {
  readonly level: keyof typeof PINO_LEVEL;
  readonly isTerminal: boolean;
  readonly destination: NodeJS.WritableStream & DestinationStream;
  /** Values that are known to be secret, such as the settings that are. */
  readonly secrets?: readonly (string | undefined)[];
}): Log {
  const { isTerminal, destination } = options;
  const stream = isTerminal
    ? pinoPretty({ destination, ignore: "pid,hostname,event", sync: true })
    : options.destination;
  const known = (options.secrets ?? [])
    .filter((secret) => secret !== undefined)
    // As JSON writes it.
    .map((secret) => JSON.stringify(secret).slice(1, -1));
  return pino(
    {
      level: PINO_LEVEL[options.level],
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        // The readable form knows pino's own names and colours them.
        level: (label) => ({ level: isTerminal ? label : (LEVEL_BY_PINO[label] ?? label.toUpperCase()) }),
      },
      hooks: { streamWrite: (line) => withoutSecrets(line, known) },
    },
    stream,
  );
}
