/** Options that several commands have, and how their words are read. */
import { InvalidArgumentError, Option } from "commander";

const DURATION_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
export const DAY_MS = DURATION_MS.d;

export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It has to be a whole number of 1 or more.");
  return Number(text);
}

/** `90s`, `30m`, `12h`, `7d`. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,5})([smhd])$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It has to be a number with s, m, h or d, such as 7d.");
  return Number(match[1]) * DURATION_MS[match[2] as keyof typeof DURATION_MS];
}

export function parsePriority(text: string): number {
  if (!/^([1-9]|10)$/.test(text)) {
    throw new InvalidArgumentError("It has to be a whole number from 1 to 10, 10 most urgent.");
  }
  return Number(text);
}

/** @throws InvalidArgumentError */
export function parseUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError("It has to be an address such as https://dispatcher.example.org.");
  }
  if (url.username !== "" || url.password !== "") {
    throw new InvalidArgumentError("It may hold no user and no password: give a key with --key-file.");
  }
  return text;
}

/** For an option that may be given several times. */
export function gather(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}

/** On every act: it is an event, and the log keeps it. */
export const reasonOption = (): Option => new Option("--reason <text>", "why, for the log of events");
export const yesOption = (): Option => new Option("--yes", "do not ask");
export const limitOption = (fallback?: number): Option => {
  const option = new Option("--limit <count>", "how many at most").argParser(parseCount);
  return fallback === undefined ? option : option.default(fallback);
};

/** The text behind a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  pnpm admin ${line}`).join("\n")}`;
}
