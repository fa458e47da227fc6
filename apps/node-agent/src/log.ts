import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";
import pinoPretty from "pino-pretty";

export type Log = Logger;

export const LOG_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"] as const;
const PINO_LEVEL = { DEBUG: "debug", INFO: "info", WARNING: "warn", ERROR: "error" } as const;

/**
 * JSON lines, or on a terminal their messages and errors alone. Every line has an `event`, a fixed word for programs.
 * Nothing secret is ever handed to the log; should it slip in with a settings object, it is cut out here.
 */
export function createLog(options: {
  readonly level: (typeof LOG_LEVELS)[number];
  readonly isTerminal: boolean;
  readonly destination: NodeJS.WritableStream & DestinationStream;
}): Log {
  const stream = options.isTerminal
    ? pinoPretty({ destination: options.destination, ignore: "name", hideObject: true, sync: true })
    : options.destination;
  return pino(
    {
      level: PINO_LEVEL[options.level],
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ["key", "*.key", "joinToken", "*.joinToken", "token", "*.token"], censor: "[secret]" },
    },
    stream,
  );
}
