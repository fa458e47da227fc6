import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startScript, waitFor } from "@dispatcher/testbed";
import type { Child } from "@dispatcher/testbed";
import type { z } from "zod";
import type { TokenCreateOutput } from "../../src/wire/token.ts";
import type { FleetPlan } from "./fleet.ts";
import { readFleetLog } from "./fleet-log.ts";
import type { FleetEntry } from "./fleet-log.ts";
import { mutate } from "./mutate.ts";

const PROGRAM = join(import.meta.dirname, "fleet.ts");
/** Thousands of joins on a busy machine. */
const JOIN_PATIENCE_MS = 120_000;

/** The nodes of a fleet in a process of their own, over all its restarts. */
export type Fleet = AsyncDisposable & {
  /** SIGKILL to all nodes at once. */
  kill(): Promise<void>;
  /** After a kill: the same nodes, as their logs say. */
  restart(): Promise<void>;
  /** From now on no node dies by itself. */
  calm(): void;
  /** Let every node say what it has to say; resolves when all have. @throws Error when that takes too long */
  leave(timeoutMs: number): Promise<void>;
  entries(): readonly FleetEntry[];
};

/** Start a fleet, and wait until all its nodes have joined. Its log is kept in `folder`. */
export async function startFleet(folder: string, plan: Omit<FleetPlan, "log">): Promise<Fleet> {
  const log = join(folder, `${plan.name}.log`);
  const planFile = join(folder, `${plan.name}.json`);
  await writeFile(planFile, JSON.stringify({ ...plan, log } satisfies FleetPlan));
  const start = async (): Promise<Child> => {
    const child = startScript(PROGRAM, { args: [planFile] });
    try {
      await child.waitForEvent("fleet.ready", { timeoutMs: JOIN_PATIENCE_MS });
      return child;
    } catch (cause) {
      await child.kill();
      throw cause;
    }
  };
  let current = await start();
  return {
    kill: async () => {
      await current.kill();
    },
    restart: async () => {
      current = await start();
    },
    calm: () => void process.kill(current.pid, "SIGUSR2"),
    leave: async (timeoutMs) => {
      const child = current;
      process.kill(child.pid, "SIGTERM");
      await waitFor(`the fleet ${plan.name} to have said everything`, () => !child.isRunning, { timeoutMs });
      const { code } = await child.exited;
      if (code !== 0) throw new Error(`The fleet ${plan.name} ended with ${code}: ${child.errors.join("\n")}`);
    },
    entries: () => readFleetLog(log),
    [Symbol.asyncDispose]: async () => {
      // What it would still say nobody wants to hear.
      await current.kill();
    },
  };
}

/** A join token for each of so many operators, good for `uses` nodes. One after the other: a hundred at once are refused in part. */
export async function createJoinTokens(
  server: string,
  { adminKey, operators, uses }: { readonly adminKey: string; readonly operators: number; readonly uses: number },
): Promise<readonly string[]> {
  const tokens: string[] = [];
  for (let index = 0; index < operators; index += 1) {
    const input = { operator: `operator ${index}`, uses };
    const made = await mutate<z.output<typeof TokenCreateOutput>>(server, "token.create", input, { key: adminKey });
    tokens.push(made.joinToken);
  }
  return tokens;
}
