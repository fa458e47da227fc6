import { join } from "node:path";
import { joinAgent, startAgent } from "@dispatcher/testbed";
import type { Child, Exit } from "@dispatcher/testbed";
import type { PlannedNode } from "./fleet-plan.ts";
import type { NodeHome } from "./stored-files.ts";

type Member = NodeHome & { readonly capacityBytes: number; agent: Child | null; isKilled: boolean };

export type FleetOptions = {
  readonly plan: readonly PlannedNode[];
  /** Each node gets its home below it. */
  readonly folder: string;
  readonly signal: AbortSignal;
};

/** Agents are cut short on the way out: nothing of the demo is worth waiting for. */
const AGENT_ARGS = ["--concurrency", "2", "--stop-after", "1s"];

/** The nodes of the demo as processes, by name. */
export class Fleet {
  readonly #members: readonly Member[];
  readonly #signal: AbortSignal;

  constructor({ plan, folder, signal }: FleetOptions) {
    this.#signal = signal;
    this.#members = plan.map((node) => ({ ...node, home: join(folder, node.name), agent: null, isKilled: false }));
  }

  get homes(): readonly NodeHome[] {
    return this.#members;
  }

  /** Every node joins, with a token of its own operator. `makeToken` makes one. */
  async join(url: string, makeToken: (operator: string) => Promise<string>): Promise<void> {
    await Promise.all(
      this.#members.map(async ({ name, operator, home, capacityBytes }) => {
        const joinToken = await makeToken(operator);
        const capacity = `${capacityBytes / 1024 ** 2}MB`;
        await joinAgent({ home, url, joinToken, name, capacity, signal: this.#signal });
      }),
    );
  }

  async startAll(): Promise<void> {
    await Promise.all(this.#members.map(({ name }) => this.start(name)));
  }

  async start(name: string): Promise<void> {
    const member = this.#memberOf(name);
    const agent = await startAgent({ home: member.home, args: AGENT_ARGS, signal: this.#signal });
    member.agent = agent;
    member.isKilled = false;
    // Stopped while it was starting: nobody else would stop it any more.
    if (this.#signal.aborted) await agent.stop();
  }

  /** SIGKILL: no last word, no release of its leases. */
  async kill(name: string): Promise<void> {
    const member = this.#memberOf(name);
    member.isKilled = true;
    await member.agent?.kill();
  }

  isKilled(name: string): boolean {
    return this.#memberOf(name).isKilled;
  }

  /** A node whose agent has ended though nobody stopped it, with its last words; null while all is well. */
  findFallen(): string | null {
    const fallen = this.#members.find(({ agent, isKilled }) => agent !== null && !agent.isRunning && !isKilled);
    if (fallen === undefined) return null;
    return `The agent of ${fallen.name} has ended by itself: ${fallen.agent?.errors.at(-1) ?? "without a word"}.`;
  }

  /** Stop every agent that runs, in order. Answers how each ended, by name. */
  async stopAll(): Promise<ReadonlyMap<string, Exit>> {
    const exits = await Promise.all(
      this.#members.map(async (member) => {
        const { agent } = member;
        member.agent = null;
        return agent?.isRunning === true ? ([[member.name, await agent.stop()]] as const) : [];
      }),
    );
    return new Map(exits.flat());
  }

  #memberOf(name: string): Member {
    const member = this.#members.find((one) => one.name === name);
    if (member === undefined) throw new Error(`The demo has no node "${name}".`);
    return member;
  }
}
