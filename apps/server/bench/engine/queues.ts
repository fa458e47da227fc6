/** Job queues of the field, each as its makers measure it: what claims and completions cost where no rule is kept. */
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import type { Task } from "graphile-worker";
import { PgBoss } from "pg-boss";

/** Something that claims and completes; answers how many of both it did a second. */
export type Contender = AsyncDisposable & {
  readonly rate: (forMs: number) => Promise<number>;
};

const QUEUE = "rescue";
/** So many jobs a call while filling a queue. */
const CHUNK = 10_000;

/** Two loops of `fetch(500)` and `complete`: more loops walk over each other's locked rows. */
export async function openPgBoss(url: string, jobs: number): Promise<Contender> {
  const [loops, batchSize] = [2, 500];
  const boss = new PgBoss({ connectionString: url, max: 4, supervise: false, schedule: false });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  await boss.createQueue(QUEUE);
  for (let left = jobs; left > 0; left -= CHUNK) {
    await boss.insert(
      QUEUE,
      Array.from({ length: Math.min(left, CHUNK) }, (_, id) => ({ data: { id } })),
    );
  }
  return {
    rate: async (forMs) => {
      const begunAt = performance.now();
      let done = 0;
      const loop = async (): Promise<void> => {
        while (performance.now() - begunAt < forMs) {
          const fetched = await boss.fetch(QUEUE, { batchSize });
          if (fetched.length === 0) throw new Error("pg-boss ran out of jobs: the rate would be wrong.");
          await boss.complete(
            QUEUE,
            fetched.map((job) => job.id),
          );
          done += fetched.length;
        }
      };
      await Promise.all(Array.from({ length: loops }, loop));
      return (done / (performance.now() - begunAt)) * 1000;
    },
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false }),
  };
}

/** With its local queue and completions in batches, as in the performance test of its makers. */
export async function openGraphileWorker(url: string, jobs: number): Promise<Contender> {
  const quiet = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ connectionString: url, logger: quiet });
  await utils.migrate();
  for (let left = jobs; left > 0; left -= CHUNK) {
    await utils.addJobs(
      Array.from({ length: Math.min(left, CHUNK) }, (_, id) => ({ identifier: QUEUE, payload: { id } })),
    );
  }
  await utils.release();
  let done = 0;
  const task: Task = () => {
    done += 1;
  };
  return {
    rate: async (forMs) => {
      const runner = await run({
        preset: {
          worker: {
            connectionString: url,
            maxPoolSize: 10,
            concurrentJobs: 24,
            localQueue: { size: 500 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
          },
        },
        logger: quiet,
        noHandleSignals: true,
        taskList: { [QUEUE]: task },
      });
      try {
        await pause(WARM_UP_MS);
        const [begunAt, before] = [performance.now(), done];
        await pause(forMs);
        const rate = ((done - before) / (performance.now() - begunAt)) * 1000;
        if (done === before) throw new Error("graphile-worker ran out of jobs: the rate would be wrong.");
        return rate;
      } finally {
        await runner.stop();
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Connections and the first batch are there after that. */
const WARM_UP_MS = 300;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
