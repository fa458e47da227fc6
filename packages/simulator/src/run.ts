/** Runs the policies of one comparison, two at a time, each in a thread of its own: a run is one long computation. */
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import type { Measures } from "./measures.ts";
import { createNamed } from "./policies.ts";
import { simulate } from "./simulate.ts";
import { createWorld } from "./world/world.ts";
import type { WorldOptions } from "./world/world.ts";

export type RunOptions = WorldOptions & { readonly policies: readonly string[] };

export type RunReport = {
  readonly options: RunOptions;
  /** In the order in which the policies were named. */
  readonly results: readonly { readonly policy: string; readonly measures: Measures }[];
};

/** One for each core of a small machine; every one holds a world of its own. */
const THREADS = 2;
/** A million assets with their holders, in MB. */
const HEAP_MB = 8192;
/** Most of what a run makes is forgotten at once. With the small default it is copied about while it is still young. */
const YOUNG_HEAP_MB = 384;

type ThreadInput = { readonly world: WorldOptions; readonly policy: string };
type ThreadMessage = { readonly share: number } | { readonly measures: Measures };

export function runPolicy(policy: string, options: WorldOptions, onProgress?: (share: number) => void): Measures {
  const world = createWorld(options);
  return simulate(world, {
    createAllocator: (desk) => createNamed(policy, world, desk),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}

function runInThread(input: ThreadInput, onProgress: (share: number) => void): Promise<Measures> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL(import.meta.url), {
      workerData: input,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_HEAP_MB },
    });
    let measures: Measures | null = null;
    thread.on("message", (message: ThreadMessage) => {
      if ("share" in message) onProgress(message.share);
      else measures = message.measures;
    });
    thread.on("error", reject);
    thread.on("exit", (status) => {
      if (measures === null) reject(new Error(`The simulation of ${input.policy} ended with ${status}.`));
      else resolve(measures);
    });
  });
}

/**
 * @param onProgress Called about once for each simulated day of each policy, with the share of its span that is over.
 */
export async function run(
  options: RunOptions,
  onProgress: (policy: string, share: number) => void,
): Promise<RunReport> {
  const { policies, ...world } = options;
  const measuresByPolicy = new Map<string, Measures>();
  const waiting = [...new Set(policies)];
  const takeTurns = async (): Promise<void> => {
    for (let policy = waiting.shift(); policy !== undefined; policy = waiting.shift()) {
      const name = policy;
      measuresByPolicy.set(name, await runInThread({ world, policy: name }, (share) => onProgress(name, share)));
    }
  };
  await Promise.all(Array.from({ length: THREADS }, takeTurns));
  const results = [...new Set(policies)].map((policy) => ({
    policy,
    measures: measuresByPolicy.get(policy)!,
  }));
  return { options, results };
}

function tellParent(message: ThreadMessage): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is for windows
  parentPort?.postMessage(message);
}

/** The part of this file that runs inside a thread. */
function answerInThread(): void {
  const { world, policy } = workerData as ThreadInput;
  tellParent({ measures: runPolicy(policy, world, (share) => tellParent({ share })) });
}

if (!isMainThread && isThreadInput(workerData)) answerInThread();

/** Test runners have threads of their own, with other data. */
function isThreadInput(data: unknown): data is ThreadInput {
  return typeof data === "object" && data !== null && "policy" in data && "world" in data;
}
