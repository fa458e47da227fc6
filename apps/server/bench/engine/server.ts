/** The bench's handle of a server program. */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { childEnvironment } from "@dispatcher/testbed";
import { SETTINGS } from "./fleet.ts";
import type { Answers, Order, Said } from "./server-program.ts";

export type BenchServer = AsyncDisposable & {
  readonly url: string;
  /** One order at a time. */
  readonly tell: <What extends Order>(order: What) => Promise<Answers[What["do"]]>;
};

export type BenchServerOptions = {
  readonly databaseUrl: string;
  readonly isUncoalesced?: boolean;
  /** A folder for CPU profiles, written when the server ends. */
  readonly cpuProfiles?: string | undefined;
};

export async function startBenchServer({
  databaseUrl,
  isUncoalesced = false,
  cpuProfiles,
}: BenchServerOptions): Promise<BenchServer> {
  const child = fork(join(import.meta.dirname, "server-program.ts"), isUncoalesced ? ["--uncoalesced"] : [], {
    env: childEnvironment({ ...SETTINGS, DATABASE_URL: databaseUrl }),
    execArgv: [
      "--expose-gc",
      "--max-semi-space-size=64",
      ...(cpuProfiles === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${cpuProfiles}`]),
    ],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const said = await hear(child);
  if (!("url" in said)) throw new Error("The server of the bench did not start.");
  return {
    url: said.url,
    tell: async <What extends Order>(order: What): Promise<Answers[What["do"]]> => {
      const answered = hear(child);
      child.send(order);
      const reply = await answered;
      if ("failure" in reply) throw new Error(`A server of the bench failed: ${reply.failure}`);
      if (!("answer" in reply)) throw new Error("A server of the bench spoke out of turn.");
      return reply.answer as Answers[What["do"]];
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
    },
  };
}

function hear(child: ChildProcess): Promise<Said> {
  return new Promise((resolve, reject) => {
    const end = (code: number | null): void => reject(new Error(`A server of the bench ended with ${code}.`));
    child.once("exit", end);
    child.once("message", (message) => {
      child.off("exit", end);
      resolve(message as Said);
    });
  });
}
