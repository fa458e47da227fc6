/** What every part of the bench gets, and what it hands back. */
import type { BenchPostgres } from "./bench-postgres.ts";

export type Run = {
  readonly postgres: BenchPostgres;
  /** How long one contender works in one round. */
  readonly forMs: number;
  /** Contenders take turns so many times; figures are medians over them. */
  readonly rounds: number;
  /** Tiny numbers, to see that everything runs. The figures mean nothing. */
  readonly isSmoke: boolean;
  /** Size of the largest catalog. */
  readonly assets: number;
  /** Most server processes on one database. */
  readonly servers: number;
  readonly cpuProfiles: string | undefined;
  /** A line for whoever waits. */
  readonly tell: (text: string) => void;
};

export type Goal = {
  /** A ratio to be at least, or where `isLimit` at most. */
  readonly floor: number;
  readonly aim: number | null;
  readonly isLimit?: boolean;
};

export type Line = {
  readonly label: string;
  readonly value: number;
  readonly unit: string;
  /** Null for what is the baseline itself, or has none. */
  readonly ratio: number | null;
  readonly goal: Goal | null;
};

export type Section = {
  readonly name: string;
  readonly about: string;
  readonly measure: (run: Run) => Promise<readonly Line[]>;
};

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** `share` from 0 to 1, by nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Each contender in turn, round after round: figures by name, one of each round. */
export async function interleave<Name extends string>(
  { rounds, tell }: Run,
  contenders: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Readonly<Record<Name, readonly number[]>>> {
  const names = Object.keys(contenders) as Name[];
  const figures = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of names) {
      const figure = await contenders[name]();
      tell(`round ${round} of ${rounds}: ${name} ${Math.round(figure).toLocaleString("en")}`);
      figures[name].push(figure);
    }
  }
  return figures;
}

/** The median over the rounds of one contender's figure by another's of the same round. */
export function ratioOf(subject: readonly number[], baseline: readonly number[]): number {
  return median(subject.map((figure, round) => figure / (baseline[round] ?? Number.NaN)));
}
