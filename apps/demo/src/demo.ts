/**
 * The whole system on one machine, on real input: a catalog is imported, nodes of different operators rescue its files,
 * one of them dies in the middle and others do its work; then the disks are read back and judged. The demo itself only
 * watches, kills and reads.
 */
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { openCatalog } from "./catalog.ts";
import type { Catalog } from "./catalog.ts";
import { planFleet } from "./fleet-plan.ts";
import { KillStory } from "./kill-story.ts";
import { Observer } from "./observer.ts";
import { makeReport } from "./report.ts";
import type { DemoReport } from "./report.ts";
import type { Screen } from "./screen.ts";
import { ORIGIN_BYTES_PER_SECOND, ORIGIN_CONCURRENCY, setStage } from "./stage.ts";
import type { Stage } from "./stage.ts";
import { readStoredFiles } from "./stored-files.ts";
import { Teardown } from "./teardown.ts";

export type DemoOptions = {
  readonly nodes: number;
  readonly copies: number;
  /** The first port to try; 0 for any. */
  readonly port: number;
  readonly timeoutMs: number;
  /** Leave everything running behind the report until the signal, and the folder for good. */
  readonly keep: boolean;
};

export type DemoTools = {
  readonly screen: Screen;
  /** Stops everything, at any moment. */
  readonly signal: AbortSignal;
  readonly onReport: (report: DemoReport) => void;
};

const KILL_RULE = {
  fromProgress: 1 / 3,
  /** A quarter of a second's worth: more than passes between a look and the kill, and less than all but small files take. */
  bytesLeftMin: ORIGIN_BYTES_PER_SECOND / 4,
  /** Several times what a lease of the demo and its grace take. */
  takeoverPatienceMs: 60_000,
};
/** Rarer, and files of a megabyte come and go unseen. */
const LOOK_EVERY_MS = 150;

/**
 * Resolves when the report is out and everything has stopped.
 * @throws DispatcherError for what the caller can mend; the signal's reason
 */
export async function runDemo(options: DemoOptions, tools: DemoTools): Promise<void> {
  const startedMs = performance.now();
  const tell = (text: string): void => tools.screen.tell({ elapsedMs: performance.now() - startedMs, text });
  const { nodes: nodeCount, copies, port, keep } = options;
  const { signal } = tools;
  const catalog = await openCatalog();
  const { bavail, bsize } = await statfs(tmpdir());
  const plan = planFleet({ nodeCount, copies, catalogBytes: catalog.bytes, freeBytes: bavail * bsize });

  const teardown = new Teardown();
  try {
    signal.throwIfAborted();
    const folder = await mkdtemp(join(tmpdir(), "dispatcher-demo-"));
    if (keep) tell(`everything is below ${folder}, and stays there`);
    else teardown.add(() => rm(folder, { recursive: true, force: true }));
    const stage = await setStage({ catalog, plan, copies, port, folder, teardown, signal, tell });
    const cast = { ...stage, catalog, copies, originBudget: ORIGIN_CONCURRENCY, startedMs, signal };
    const observer = new Observer(cast);
    const story = makeKillStory(stage, observer, tell);
    const mishaps = await watch({ stage, observer, story, screen: tools.screen, signal, timeoutMs: options.timeoutMs });
    tools.onReport(await check({ catalog, copies, stage, observer, story, mishaps, startedMs, signal, tell }));
    if (keep) await stayUp(stage, tools);
  } finally {
    await teardown.run();
  }
}

function makeKillStory({ fleet }: Stage, observer: Observer, tell: (text: string) => void): KillStory {
  return new KillStory(
    {
      kill: (node) => fleet.kill(node),
      start: (node) => fleet.start(node),
      readOpenAssets: () => observer.readOpenAssets(),
      readAssets: (ids) => observer.readAssets(ids),
      tell,
    },
    KILL_RULE,
  );
}

type Watch = {
  readonly stage: Stage;
  readonly observer: Observer;
  readonly story: KillStory;
  readonly screen: Screen;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
};

/** Watch until all is done and shown, or cannot be any more. Answers what went wrong, each a sentence. */
async function watch({ stage, observer, story, screen, signal, timeoutMs }: Watch): Promise<readonly string[]> {
  for (;;) {
    const { snapshot, isComplete, trouble } = await observer.look();
    screen.show(snapshot);
    if (trouble !== null) return [trouble];
    const fallen = stage.fleet.findFallen();
    if (fallen !== null) return [fallen];
    // Complete before the kill: there is nothing left to show it on, and the report says that it is missing.
    if (isComplete && (story.isOver || !story.hasBegun)) return [];
    if (snapshot.elapsedMs > timeoutMs) return [`The time was over after ${timeoutMs / 1000} s.`];
    await story.step(snapshot);
    await wait(LOOK_EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

type Check = {
  readonly catalog: Catalog;
  readonly copies: number;
  readonly stage: Stage;
  readonly observer: Observer;
  readonly story: KillStory;
  readonly mishaps: readonly string[];
  readonly startedMs: number;
  readonly signal: AbortSignal;
  readonly tell: (text: string) => void;
};

/** Stop the agents, so that their disks are at rest, and read back every file they hold. */
async function check({
  catalog,
  copies,
  stage,
  observer,
  story,
  mishaps,
  startedMs,
  signal,
  tell,
}: Check): Promise<DemoReport> {
  const { fleet, origin } = stage;
  tell("the agents stop, and every stored file is read back");
  const exits = await fleet.stopAll();
  const unruly = [...exits].filter(([, { code }]) => code !== 0).map(([name]) => name);
  const assets = await observer.listAssets();
  const pathById = new Map(assets.map(({ id, path }) => [id, path]));
  const stored = await readStoredFiles(fleet.homes, catalog.files, pathById, signal);
  return makeReport({
    files: catalog.files,
    copiesEach: copies,
    homes: fleet.homes,
    stored,
    claimedByPath: new Map(assets.map((asset) => [asset.path, asset.copies])),
    reassigned: observer.reassignedMost,
    kill: story.kill,
    origin: {
      concurrencyPeak: origin.concurrencyPeak,
      budget: ORIGIN_CONCURRENCY,
      requests: origin.requests.length,
      bytesServed: origin.bytesServed,
    },
    wallMs: performance.now() - startedMs,
    mishaps: unruly.length === 0 ? mishaps : [...mishaps, `Agents that did not stop in order: ${unruly.join(", ")}.`],
  });
}

/** Behind the report of a demo that is kept: the agents go on, until the signal. */
async function stayUp({ fleet, server, serverDataDir, origin }: Stage, { screen, signal }: DemoTools): Promise<void> {
  await fleet.startAll();
  screen.print(
    [
      "Everything runs on until Ctrl-C:",
      `  API     ${server.url}`,
      `  health  ${server.url}/health`,
      `  origin  ${origin.url}`,
      `  look    DISPATCHER_DATA_DIR=${serverDataDir} pnpm admin status`,
    ].join("\n"),
  );
  const stopped = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => stopped.resolve(), { once: true });
  if (!signal.aborted) await stopped.promise;
}
