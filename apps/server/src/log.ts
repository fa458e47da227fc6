import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";
import pinoPretty from "pino-pretty";

export type Log = Logger;

const PINO_LEVEL = { DEBUG: "debug", INFO: "info", WARNING: "warn", ERROR: "error" } as const;

/**
 * JSON lines, or readable ones on a terminal. Every line has an `event`, a fixed word for programs. Secrets are cut out
 * wherever they might slip in.
 */
export function createLog(options: {
  readonly level: keyof typeof PINO_LEVEL;
  readonly isTerminal: boolean;
  readonly destination: NodeJS.WritableStream & DestinationStream;
}): Log {
  const stream = options.isTerminal
    ? pinoPretty({ destination: options.destination, ignore: "pid,hostname,event", sync: true })
    : options.destination;
  return pino(
    {
      level: PINO_LEVEL[options.level],
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ["key", "*.key", "joinToken", "*.joinToken", "authorization", "*.authorization"],
        censor: "[secret]",
      },
    },
    stream,
  );
}
