/**
 * `pnpm mutants`: flips one comparison of the core at a time and asks whether a test notices. Coverage tells that a line
 * ran; this tells that somebody looked at what it decided, at its edge too.
 *
 * Nothing is flipped in place: the work is done on a copy of this package in the system's folder for temporary files. A
 * mutant that survives either shows a test that is missing, or changes nothing that can be seen; those stand, each with its
 * reason, in `equivalent-mutants.ts` and are not run.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseAst } from "vitest/node";
import { EQUIVALENT_MUTANTS } from "./equivalent-mutants.ts";

/** The ledger, separation, budget, pool and round: where a comparison that is off by one costs copies or bytes. */
const DEFAULT_FILES: readonly string[] = [
  "ledger.ts",
  "node.ts",
  "origin.ts",
  "allocation/eligibility.ts",
  "allocation/asker-index.ts",
  "allocation/urgency-tree.ts",
  "allocation/slots-by-id.ts",
  "allocation/candidate-pool.ts",
  "allocation/primary-refusal.ts",
  "allocation/lot.ts",
  "allocation/run-round.ts",
  "allocation/round.ts",
  "binary-heap.ts",
  "allocation/placed-heap.ts",
];

/** The edge moved by one, and the opposite. */
const FLIPS: Readonly<Record<string, readonly string[]>> = {
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"],
  "===": ["!=="],
  "!==": ["==="],
};

/** One comparison of a file, flipped. */
type Mutant = {
  /** Below `src`. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly flip: string;
  /** The line after the flip, without its indent: what a mutant is known by, as line numbers move. */
  readonly text: string;
  readonly source: string;
};

type Verdict = "killed" | "endless" | "survived";
type Survivor = Pick<Mutant, "line" | "flip" | "text">;
type FileResult = {
  readonly file: string;
  readonly mutants: number;
  readonly killed: number;
  /** Of the killed: those that ran into the time limit. */
  readonly endless: number;
  readonly equivalent: number;
  readonly survivors: readonly Survivor[];
};

/** Test files of one vitest run, and how long they may be silent with a mutant; each test tells when it is over. */
type Stage = { readonly tests: readonly string[]; readonly silenceMaxMs: number; readonly titles?: readonly string[] };
type Run = { readonly verdict: Verdict; readonly output: string; readonly longestSilenceMs: number };
/** A test that has failed on a mutant, by its file and its title with those of its suites. */
type Killer = { readonly test: string; readonly title: string };

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const VITEST = join(dirname(fileURLToPath(import.meta.resolve("vitest/package.json"))), "vitest.mjs");
/** One thread, so that a kill leaves nothing behind; a test that is slow on a busy machine is no kill. */
const VITEST_OPTIONS = "--bail 1 --testTimeout 0 --reporter verbose --pool threads --maxWorkers 1 --no-isolate".split(
  " ",
);
/** A mutant that never ends may fill the memory instead of the time. */
const HEAP_MAX_MB = 1024;
/**
 * A mutant is endless when it says nothing for so many times the longest silence of the unmutated code, and this much more
 * for a machine that is busy. Too small: a slow moment counts as a kill and hides a survivor. Too large: each endless loop
 * costs as much.
 */
const SILENCE_FACTOR = 4;
const SILENCE_MORE_MS = 10_000;
/** Too few: the right one is not among them. Too many: they take as long as all. */
const KILLERS = 4;
const EX_USAGE = 64;

type SyntaxNode = { readonly type: string; readonly start: number; readonly end: number };
type Comparison = SyntaxNode & { readonly operator: string; readonly left: SyntaxNode; readonly right: SyntaxNode };

function isComparison(node: object): node is Comparison {
  return "type" in node && node.type === "BinaryExpression" && "operator" in node && String(node.operator) in FLIPS;
}

/** In the syntax tree there is no mistaking a type argument or an arrow for a comparison. */
function comparisonsIn(node: unknown): readonly Comparison[] {
  if (typeof node !== "object" || node === null) return [];
  const below = Object.values(node).flatMap(comparisonsIn);
  return isComparison(node) ? [node, ...below] : below;
}

function syntaxOf(source: string): ReturnType<typeof parseAst> {
  return parseAst(source, { lang: "ts" });
}

function mutantsOf(file: string): readonly Mutant[] {
  const source = readFileSync(join(PACKAGE, "src", file), "utf8");
  const comparisons = comparisonsIn(syntaxOf(source)).toSorted((a, b) => a.left.end - b.left.end);
  return comparisons.flatMap(({ operator, left, right }) => {
    // Between the operands stand the operator, brackets and comments; these may have anything in them.
    const between = source
      .slice(left.end, right.start)
      .replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, (it) => " ".repeat(it.length));
    const at = left.end + between.indexOf(operator);
    if (!between.includes(operator)) throw new Error(`There is no ${operator} at ${left.end} of ${file}.`);
    return (FLIPS[operator] ?? []).map((flipped): Mutant => {
      const mutated = source.slice(0, at) + flipped + source.slice(at + operator.length);
      const line = source.slice(0, at).split("\n").length;
      return {
        file,
        line,
        flip: `${operator} -> ${flipped}`,
        text: (mutated.split("\n").at(line - 1) ?? "").trim(),
        source: mutated,
      };
    });
  });
}

/** The files that a file of `src` needs at run time, below `src`. */
function importsOf(file: string): readonly string[] {
  const { body } = syntaxOf(readFileSync(join(PACKAGE, "src", file), "utf8"));
  return body
    .filter((statement) => statement.type === "ImportDeclaration" || statement.type === "ExportNamedDeclaration")
    .filter((statement) => !("importKind" in statement) || statement.importKind !== "type")
    .flatMap(({ source }) => (source?.value.startsWith(".") === true ? [join(dirname(file), source.value)] : []));
}

/**
 * The tests that concern a file: those beside it that reach it through files of the same folder. The builders of
 * `testing.ts` are no way to it, for by them all tests would reach everything.
 */
function testsOf(file: string): readonly string[] {
  const folder = dirname(file);
  const reaches = (from: string, seen: Set<string>): boolean =>
    importsOf(from).some((next) => {
      if (next === file) return true;
      if (dirname(next) !== folder || basename(next) === "testing.ts" || seen.has(next)) return false;
      seen.add(next);
      return reaches(next, seen);
    });
  return globSync(join(folder, "*.test.ts"), { cwd: join(PACKAGE, "src") })
    .toSorted()
    .filter((test) => reaches(test, new Set()));
}

/** Its own tests first: they are quick, and most mutants end there. */
function stagesOf(file: string): readonly (readonly string[])[] {
  const isOwn = (test: string): boolean => basename(test).startsWith(`${basename(file, ".ts")}.`);
  const tests = testsOf(file);
  const stages = [tests.filter(isOwn), tests.filter((test) => !isOwn(test))].filter((stage) => stage.length > 0);
  if (stages.length === 0) throw new Error(`No test beside ${file} reaches it.`);
  return stages;
}

function escaped(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);
}

/** `× src/node.test.ts > suite > test 12ms` */
function killersIn(output: string): readonly Killer[] {
  return [...output.matchAll(/^\s*× src\/(\S+) > (.+?)(?: \d+ms)?$/gm)].map(([, test = "", path = ""]) => ({
    test,
    title: path.replaceAll(" > ", " "),
  }));
}

/** The copy in which one mutant after the other is tried; gone when the process ends, however it ends. */
class Copy {
  readonly #folder = mkdtempSync(join(tmpdir(), "dispatcher-mutants-"));
  #kill = (): void => {};

  constructor() {
    for (const part of ["src", "test", "package.json"]) {
      cpSync(join(PACKAGE, part), join(this.#folder, part), { recursive: true });
    }
    symlinkSync(join(PACKAGE, "node_modules"), join(this.#folder, "node_modules"), "junction");
    process.once("exit", () => {
      this.#kill();
      rmSync(this.#folder, { recursive: true, force: true });
    });
  }

  read(file: string): string {
    return readFileSync(join(this.#folder, "src", file), "utf8");
  }

  write(file: string, source: string): void {
    writeFileSync(join(this.#folder, "src", file), source);
  }

  /** Run tests until the first that fails. */
  async run({ tests, silenceMaxMs, titles = [] }: Stage): Promise<Run> {
    const paths = tests.map((test) => join(this.#folder, "src", test));
    const only = titles.length === 0 ? [] : ["-t", titles.map((title) => `${escaped(title)}$`).join("|")];
    const child = spawn(
      process.execPath,
      [
        `--max-old-space-size=${HEAP_MAX_MB}`,
        VITEST,
        "run",
        "--root",
        this.#folder,
        ...VITEST_OPTIONS,
        ...only,
        ...paths,
      ],
      { cwd: this.#folder, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" } },
    );
    this.#kill = () => child.kill("SIGKILL");
    let output = "";
    let isEndless = false;
    let heardAtMs = performance.now();
    let longestSilenceMs = 0;
    const watch = setInterval(() => {
      isEndless = performance.now() - heardAtMs > silenceMaxMs;
      if (isEndless) this.#kill();
    }, 500);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        output += String(chunk);
        longestSilenceMs = Math.max(longestSilenceMs, performance.now() - heardAtMs);
        heardAtMs = performance.now();
      });
    }
    try {
      const [code] = await once(child, "close");
      const verdict = isEndless ? "endless" : code === 0 ? "survived" : "killed";
      return { verdict, output, longestSilenceMs };
    } finally {
      clearInterval(watch);
    }
  }
}

/** Measured on the unmutated copy, which has to pass. */
async function measuredStages(copy: Copy, file: string): Promise<readonly Stage[]> {
  const stages: Stage[] = [];
  for (const tests of stagesOf(file)) {
    const { verdict, output, longestSilenceMs } = await copy.run({ tests, silenceMaxMs: Infinity });
    if (verdict !== "survived") throw new Error(`The tests of ${file} fail before anything is flipped:\n${output}`);
    stages.push({ tests, silenceMaxMs: SILENCE_MORE_MS + SILENCE_FACTOR * longestSilenceMs });
  }
  return stages;
}

/** What is listed has to be there, once: no reason outlives the line it speaks of, or hides another one. */
function requireListed(file: string, mutants: readonly Mutant[]): void {
  for (const listed of EQUIVALENT_MUTANTS) {
    if (listed.file !== file) continue;
    const count = mutants.filter(({ text }) => text === listed.text).length;
    if (count !== 1) throw new Error(`${file} has ${count} mutants, and not one, of this listed text: ${listed.text}`);
  }
}

/** The tests that killed the mutants before are asked first, alone: what notices one often notices the next. */
async function tryMutant(
  copy: Copy,
  stages: readonly Stage[],
  killers: readonly Killer[],
): Promise<readonly [Verdict, readonly Killer[]]> {
  const silenceMaxMs = Math.max(...stages.map((stage) => stage.silenceMaxMs));
  const tests = [...new Set(killers.map(({ test }) => test))];
  const first = { tests, silenceMaxMs, titles: killers.map(({ title }) => title) };
  for (const stage of killers.length === 0 ? stages : [first, ...stages]) {
    const { verdict, output } = await copy.run(stage);
    if (verdict !== "survived") return [verdict, killersIn(output)];
  }
  return ["survived", []];
}

async function runFile(copy: Copy, file: string, tell: (text: string) => void): Promise<FileResult> {
  const mutants = mutantsOf(file);
  requireListed(file, mutants);
  const isEquivalent = ({ text }: Mutant): boolean =>
    EQUIVALENT_MUTANTS.some((listed) => listed.file === file && listed.text === text);
  const chosen = mutants.filter((mutant) => !isEquivalent(mutant));
  tell(`${file}: ${mutants.length} mutants, ${mutants.length - chosen.length} of them equivalent\n`);
  const stages = await measuredStages(copy, file);
  const original = copy.read(file);
  const verdicts: Verdict[] = [];
  const survivors: Survivor[] = [];
  let killers: readonly Killer[] = [];
  for (const { line, flip, text, source } of chosen) {
    copy.write(file, source);
    const [verdict, newKillers] = await tryMutant(copy, stages, killers);
    killers = [...newKillers, ...killers.filter(({ title }) => newKillers.every((one) => one.title !== title))];
    killers = killers.slice(0, KILLERS);
    verdicts.push(verdict);
    tell({ killed: ".", endless: "o", survived: `\n  ${line}: ${flip}: ${text}\n` }[verdict]);
    if (verdict === "survived") survivors.push({ line, flip, text });
  }
  copy.write(file, original);
  tell("\n");
  return {
    file,
    mutants: mutants.length,
    killed: chosen.length - survivors.length,
    endless: verdicts.filter((verdict) => verdict === "endless").length,
    equivalent: mutants.length - chosen.length,
    survivors,
  };
}

function row(file: string, cells: readonly (string | number)[]): string {
  return file.padEnd(34) + cells.map((cell) => String(cell).padStart(12)).join("");
}

function table(results: readonly FileResult[]): string {
  const numbers = ({ mutants, killed, endless, equivalent, survivors }: FileResult): readonly number[] => [
    mutants,
    killed,
    endless,
    equivalent,
    survivors.length,
  ];
  const sums = results.map(numbers).reduce((all, some) => all.map((sum, at) => sum + (some[at] ?? 0)));
  return [
    row("file", ["mutants", "killed", "(endless)", "equivalent", "survivors"]),
    ...results.flatMap((result) => [
      row(result.file, numbers(result)),
      ...result.survivors.map(({ line, flip, text }) => `  ${line}: ${flip}: ${text}`),
    ]),
    row("all", sums),
  ].join("\n");
}

const USAGE = [
  "Usage: pnpm mutants [file ...] [--json] [--help]",
  "",
  "Flips one comparison of packages/core at a time, in a copy, and runs the tests that concern its file. A file is named",
  "by its path below packages/core/src, or from here. Without one:",
  ...DEFAULT_FILES.map((file) => `  ${file}`),
  "",
  "Prints . for a mutant that a test kills, o for one that never ends, and the line of one that survives. Exits with 1 when",
  "one survives that is not in packages/core/test/equivalent-mutants.ts.",
  "",
  "  --json  print one line of JSON instead of the table; progress goes to stderr either way",
  "  --help  print this",
].join("\n");

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function refuse(why: string): number {
  process.stderr.write(`${why}\n\n${USAGE}\n`);
  return EX_USAGE;
}

async function main(args: readonly string[]): Promise<number> {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { json: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false } },
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  if (values.help) {
    print(USAGE);
    return 0;
  }
  const known = globSync("**/*.ts", { cwd: join(PACKAGE, "src"), exclude: ["**/*.test.ts"] });
  const named = positionals.map((name) =>
    known.find((file) => file === name || join(PACKAGE, "src", file) === resolve(name)),
  );
  if (named.includes(undefined))
    return refuse(`There is no file ${positionals[named.indexOf(undefined)]} in packages/core/src.`);
  const files = named.length === 0 ? DEFAULT_FILES : named.filter((file) => file !== undefined);
  process.once("SIGINT", () => process.exit(130));
  process.once("SIGTERM", () => process.exit(143));
  const copy = new Copy();
  const results: FileResult[] = [];
  for (const file of files) results.push(await runFile(copy, file, (text) => process.stderr.write(text)));
  print(values.json ? JSON.stringify({ files: results }) : table(results));
  return results.some(({ survivors }) => survivors.length > 0) ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
