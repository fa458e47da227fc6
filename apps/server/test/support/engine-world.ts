/**
 * The servers, the nodes and the model together: each thing that happens, happens to all of them, and after it they have to
 * agree. Of what happens at once the order is not known: it is lawful where some order is.
 */
import type { AssetId, AssignmentId } from "@dispatcher/core";
import { DispatcherError } from "@dispatcher/core";
import type { Services } from "../../src/services/index.ts";
import { expireLeases } from "../../src/services/reclaim-leases.ts";
import { moveSilentNodes } from "../../src/services/move-silent-nodes.ts";
import { renewStandings } from "../../src/services/renew-standings.ts";
import { Disagreement, Model, VIEW_MS, inOrder, isOpenState } from "./engine-model.ts";
import type { Grant, Heard, Rows, SyncInput, SyncReply } from "./engine-model.ts";
import { EngineNode } from "./engine-node.ts";
import type { Plan } from "./engine-node.ts";
import type { LockedTable, Server, ServerName, Servers } from "./engine-servers.ts";
import { ADMIN_COMMAND } from "../../src/services/authenticate.ts";

type Batch = Parameters<Services["importAssets"]>[0];
export type Entry = {
  readonly path: string;
  readonly host: string;
  readonly sizeBytes: number | null;
  readonly sha256: string | null;
  readonly priority: number | null;
};
export type Speech = { readonly server: ServerName; readonly name: string; readonly plan: Plan };

/** A sync that was answered, or refused. */
type Spoken = {
  readonly node: EngineNode;
  readonly server: Server;
  readonly input: SyncInput;
  readonly startedAtMs: number;
  /** What the server knew for sure as the call began. */
  readonly freshAtMs: number;
  readonly answer: SyncReply | Error;
  readonly before: Model;
};

type Part = "reports" | "goes on" | "takes back" | "grants" | "over";
/** How far one of the things that happen at once has come. */
type Progress = {
  readonly part: Part;
  readonly heard?: Heard;
  /** Open leases that the node has not listed. */
  readonly unlisted?: readonly AssignmentId[];
  /** New ones, in their order. */
  readonly grants: readonly Grant[];
};
/** A sweep is several transactions. */
const SWEEP = ["expire", "move", "find what is due", "renew"] as const;
type SweepStep = (typeof SWEEP)[number];
type State = {
  readonly model: Model;
  readonly spoken: readonly Progress[];
  readonly sweep: readonly SweepStep[];
  readonly due: readonly AssetId[];
};

/** Nothing happens to the node's leases. */
const QUIET: Plan = { wants: 0, freeBytes: 0, offeredBytes: null, acts: [], extra: null, isReplyLost: true };
/** Orders that are tried of what happened at once. */
const TRIES_MAX = 10_000;
/** Where no order will do, so many of the reasons are shown. */
const SHOWN_MAX = 4;
/** Refusals about the node alone, for which a server looks no further. */
const ABOUT_NODE: ReadonlySet<string> = new Set(["AGENT_TOO_OLD", "NODE_PAUSED", "QUOTA"]);

export class World {
  readonly servers: Servers;
  readonly nodes = new Map<string, EngineNode>();
  model = new Model();
  /** The database's, as it was read last. */
  #nowMs = 0;
  /** What was, and until when. */
  #past: { readonly model: Model; readonly untilMs: number }[] = [];

  constructor(servers: Servers) {
    this.servers = servers;
  }

  /** Give the model its next state. */
  #become(model: Model): void {
    const untilMs = performance.now();
    this.#past = [...this.#past, { model: this.model, untilMs }].filter((one) => one.untilMs > untilMs - 10 * VIEW_MS);
    this.model = model;
  }

  #agreed(model: Model, rows: Rows): void {
    const faults = model.compare(rows);
    if (faults.length > 0) throw new Disagreement(this.#explain(faults.join("\n")));
    this.#become(model);
  }

  #explain(text: string): string {
    return `${text}\nBefore:\n  ${this.model.describe().join("\n  ")}`;
  }

  async import(name: ServerName, batch: Pick<Batch["dataset"], "copies">, entries: readonly Entry[]): Promise<void> {
    const dataset = { key: "d", title: null, sourceUrl: null, ...batch };
    const answer = await this.servers.server(name).services.importAssets({
      dataset,
      entries: entries.map(({ path, host, sizeBytes, sha256, priority }) => ({
        place: path,
        path,
        url: `https://${host.replace(/:443$/, "")}/${path}`,
        sizeBytes,
        digest: sha256 === null ? null : { algorithm: "sha256", hex: sha256 },
        mediaType: null,
        priority,
        removeByMs: null,
      })),
    });
    const rows = await this.servers.read();
    const idByPath = new Map(rows.assets.map(({ path, id }) => [path, id]));
    const model = new Model(this.model);
    const expected = model.importEntries({ dataset: "d", copies: batch.copies ?? null }, entries, (path) => {
      const id = idByPath.get(path);
      if (id === undefined) throw new Disagreement(`${path} was imported and is not there.`);
      return id;
    });
    const { taken, updated, unchanged, skipped } = answer;
    const told = JSON.stringify({ taken, updated, unchanged, skipped: skipped.length });
    if (told !== JSON.stringify(expected)) {
      throw new Disagreement(this.#explain(`The import was answered ${told}; the model: ${JSON.stringify(expected)}`));
    }
    this.#agreed(model, rows);
  }

  async join(server: ServerName, name: string, offeredBytes: number): Promise<void> {
    const { services } = this.servers.server(server);
    const operator = name.replace(/-.*/, "");
    const { joinToken } = await services.createJoinToken({ operator, uses: 1, lifeMs: 60_000 }, ADMIN_COMMAND);
    const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes };
    const { nodeId: id } = await services.joinNode({ joinToken, name, ...facts }, null);
    this.nodes.set(name, new EngineNode(id, name, offeredBytes));
    const rows = await this.servers.read();
    const model = new Model(this.model);
    const known = { verifiedCopies: 0, inventoryWanted: false, quota: 2, offeredBytes };
    model.join({ id, name, operator, life: "online", heardAtMs: rows.nowMs, ...known });
    this.#agreed(model, rows);
  }

  async setState(path: string, state: "wanted" | "withdrawn"): Promise<void> {
    const id = this.#assetId(path);
    await this.servers.setState(id, state);
    const model = new Model(this.model);
    model.setState(id, state);
    this.#agreed(model, await this.servers.read());
  }

  #assetId(path: string): AssetId {
    const asset = [...this.model.assets.values()].find((one) => one.path === path);
    if (asset === undefined) throw new Error(`There is no asset ${path}.`);
    return asset.id;
  }

  async step(ms: number): Promise<void> {
    await this.servers.step(ms);
    const model = new Model(this.model);
    model.step(ms);
    // What was, was so much earlier too.
    for (const { model: past } of this.#past) past.step(ms);
    this.model.step(ms);
    this.#agreed(model, await this.servers.read());
  }

  /** Syncs, and perhaps a sweep, at once. */
  async speak(speeches: readonly Speech[], sweeper: ServerName | null = null): Promise<void> {
    const [spoken] = await Promise.all([
      Promise.all(speeches.map((speech) => this.#say(speech))),
      sweeper === null ? null : this.#sweep(sweeper),
    ]);
    await this.#follow(spoken, sweeper === null ? [] : SWEEP, speeches);
    const [only, ...others] = spoken;
    if (only === undefined || others.length > 0 || sweeper !== null) return;
    // What a call has missed, because it was overtaken or knew of something too late, the next one has to bring.
    const missed = this.#withheldFrom(only);
    if (missed === null) return;
    const plan = { ...QUIET, wants: missed.wants, freeBytes: only.input.freeBytes };
    const again = await this.#say({ server: only.server.name, name: only.node.name, plan });
    await this.#follow([again], [], []);
    if (!(again.answer instanceof Error)) again.node.hear(again.answer);
    const still = this.#withheldFrom(again);
    if (still !== null) throw new Disagreement(this.#explain(still.text));
  }

  async sweep(name: ServerName): Promise<void> {
    await this.#sweep(name);
    await this.#follow([], SWEEP, []);
  }

  async #sweep(name: ServerName): Promise<void> {
    const { dependencies } = this.servers.server(name);
    await expireLeases(dependencies, 100);
    await moveSilentNodes(dependencies, 100);
    await renewStandings(dependencies, 1000);
  }

  /** A sync during which the database ends the connection; perhaps the server ends too. */
  async breakOff(speech: Speech, table: LockedTable, isKilled: boolean): Promise<void> {
    const spoken = await this.servers.breakOff(speech.server, table, () => {
      const saying = this.#say(speech);
      if (isKilled) this.servers.kill(speech.server);
      return saying;
    });
    if (spoken instanceof Error) throw spoken;
    const { answer } = spoken;
    if (answer instanceof DispatcherError && answer.code === "DATABASE_UNAVAILABLE") {
      this.#agreed(new Model(this.model), await this.servers.read());
      return;
    }
    await this.#follow([spoken], [], [speech]);
  }

  async #say({ server: serverName, name, plan }: Speech): Promise<Spoken> {
    const node = this.#node(name);
    const server = this.servers.server(serverName);
    const input = node.speak(plan, this.model);
    const before = this.model;
    const startedAtMs = performance.now();
    const { freshAtMs } = server;
    const answer = await server.services
      .syncNode({ nodeId: node.id, network: null, input })
      .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
    return { node, server, input, startedAtMs, freshAtMs, answer, before };
  }

  #node(name: string): EngineNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`There is no node ${name}.`);
    return node;
  }

  /** Let the model do what was answered, in some order in which it is lawful and ends as the database did. */
  async #follow(spoken: readonly Spoken[], sweep: readonly SweepStep[], speeches: readonly Speech[]): Promise<void> {
    const rows = await this.servers.read();
    this.#nowMs = rows.nowMs;
    const before = this.model;
    for (const { answer } of spoken) if (answer instanceof Error && !isRetirement(answer)) throw answer;
    const known = new Set(before.leases.keys());
    const start: State = {
      model: before,
      sweep,
      due: [],
      spoken: spoken.map(({ answer }) => {
        const grants = answer instanceof Error ? [] : answer.grants.filter((one) => !known.has(one.assignmentId));
        return { part: "reports", grants };
      }),
    };
    const model = this.#search(start, spoken, rows);
    for (const { answer, server, startedAtMs } of spoken) {
      if (answer instanceof Error || answer.refusal === null || ABOUT_NODE.has(answer.refusal.reason)) continue;
      // Where a node went away with too little, the server has looked at what had changed.
      server.freshAtMs = Math.max(server.freshAtMs, startedAtMs);
    }
    this.#become(model);
    for (const [at, { answer, node }] of spoken.entries()) {
      const isLost = speeches[at]?.plan.isReplyLost ?? true;
      if (!(answer instanceof Error) && !isLost) node.hear(answer);
    }
  }

  #search(start: State, spoken: readonly Spoken[], rows: Rows): Model {
    let tries = 0;
    const dead = new Map<string, number>();
    const fail = (steps: number, text: string): null => {
      dead.set(text, Math.max(steps, dead.get(text) ?? 0));
      return null;
    };
    // Most things do the same in any order: where two orders have come to one state, one of them is enough.
    const seen = new Set<string>();
    const search = (state: State, steps: number): Model | null => {
      const key = JSON.stringify([state.model.toRows(), state.sweep, state.due, state.spoken]);
      if (seen.has(key)) return null;
      seen.add(key);
      tries += 1;
      const moves = this.#movesFrom(state, spoken, rows);
      if (moves.length === 0) {
        const model = new Model(state.model);
        const faults = model.compare(rows);
        return faults.length === 0 ? model : fail(steps, faults.join("\n"));
      }
      for (const move of moves) {
        if (tries > TRIES_MAX) return null;
        try {
          const found = search(move(), steps + 1);
          if (found !== null) return found;
        } catch (error) {
          if (!(error instanceof Disagreement)) throw error;
          fail(steps, error.message);
        }
      }
      return null;
    };
    const found = search(start, 0);
    if (found !== null) return found;
    const furthest = [...dead].toSorted(([, a], [, b]) => b - a).slice(0, SHOWN_MAX);
    const texts = furthest.map(([text]) => text).join("\n or: ");
    throw new Disagreement(this.#explain([texts, ...spoken.map(describeAnswer)].join("\n")));
  }

  /** What may have happened next; what most likely did comes first. */
  #movesFrom(
    { model: before, spoken, sweep, due }: State,
    all: readonly Spoken[],
    rows: Rows,
  ): readonly (() => State)[] {
    const after = (at: number, act: (model: Model) => Progress): (() => State) => {
      return () => {
        const model = new Model(before);
        const progress = act(model);
        return { model, sweep, due, spoken: spoken.map((one, place) => (place === at ? progress : one)) };
      };
    };
    const ofPart = (part: Part) => {
      return [...all.entries()].flatMap(([at, one]) => {
        const progress = spoken[at];
        return progress?.part === part ? [{ at, one, progress }] : [];
      });
    };
    const goesOn = (model: Model, one: Spoken, progress: Progress): Progress => {
      const unlisted = goOn(model, one, progress, { nowMs: rows.nowMs, isAlone: all.length === 1 });
      const next: Progress = { ...progress, part: "takes back", unlisted };
      return unlisted.length === 0 && progress.heard?.late.length === 0 ? takesBack(model, one, next) : next;
    };
    const takesBack = (model: Model, one: Spoken, progress: Progress): Progress => {
      model.markSurplus(progress.heard?.late ?? []);
      requireSentAgain(model, one, progress);
      return { ...progress, part: "grants" };
    };
    // What does nothing needs no turn of its own.
    const reports = (model: Model, one: Spoken, progress: Progress): Progress => {
      const isRetired = model.node(one.node.id).life === "retired";
      if (isRetired !== one.answer instanceof Error) {
        const was = isRetired ? "heard, and has" : "refused, and has not";
        throw new Disagreement(`${one.node.name} was ${was} been retired.`);
      }
      if (isRetired) return { ...progress, part: "over" };
      const heard = hear(model, one, rows.nowMs);
      const next: Progress = { ...progress, part: "goes on", heard };
      return heard.away.length === 0 ? goesOn(model, one, next) : next;
    };
    const parts = [
      ["reports", reports],
      ["goes on", goesOn],
      ["takes back", takesBack],
    ] as const;
    const spokenOn = parts.flatMap(([part, act]) =>
      ofPart(part).map(({ at, one, progress }) => after(at, (model) => act(model, one, progress))),
    );
    const grants = (["takes back", "grants"] as const)
      .flatMap(ofPart)
      .flatMap(({ at, one, progress }) => progress.grants.map((grant) => ({ at, one, progress, grant })))
      .toSorted((a, b) => a.grant.term - b.grant.term)
      .map(({ at, one, progress, grant }) =>
        after(at, (model) => {
          this.#grant(model, one, grant, rows);
          return { ...progress, grants: progress.grants.filter((other) => other !== grant) };
        }),
      );
    const [step, ...laterSteps] = sweep;
    const sweepOn = (): State => {
      const model = new Model(before);
      if (step === "expire") model.expireLeases(rows);
      if (step === "move") model.moveSilentNodes(rows);
      if (step === "renew") model.renewStandings(due);
      const found = step === "find what is due" ? model.findDue() : due;
      return { model, spoken, sweep: laterSteps, due: found };
    };
    return [...spokenOn, ...grants, ...(step === undefined ? [] : [sweepOn])];
  }

  #grant(model: Model, { node, input, startedAtMs, freshAtMs }: Spoken, grant: Grant, rows: Rows): void {
    const row = rows.leases.find(({ id }) => id === grant.assignmentId);
    if (row === undefined)
      throw new Disagreement(`${node.name} was granted ${grant.asset.path}, which is not written.`);
    const sinceMs = Math.max(startedAtMs - VIEW_MS, freshAtMs);
    const since = (ms: number): readonly Model[] => {
      return [model, this.model, ...this.#past.filter(({ untilMs }) => untilMs >= ms).map((one) => one.model)];
    };
    // How the fleet stands is not read again for whoever goes away with too little.
    const operatorCount = Math.min(...since(startedAtMs - VIEW_MS).map((view) => view.operatorCount()));
    const seen = { views: since(sinceMs), operatorCount, nowMs: rows.nowMs };
    model.grant({ nodeId: node.id, freeBytes: input.freeBytes }, grant, row, seen);
  }

  /** What a node went away without, and could have had; null where there is nothing of that. */
  #withheldFrom({ node, input, answer, before }: Spoken): { readonly wants: number; readonly text: string } | null {
    if (answer instanceof Error) return null;
    const grants = answer.grants.filter(({ assignmentId }) => !before.leases.has(assignmentId));
    const wants = input.wants - grants.length;
    const withheld = wants > 0 ? this.model.fitting({ nodeId: node.id, freeBytes: input.freeBytes }, this.#nowMs) : [];
    if (withheld.length === 0) return null;
    const paths = withheld.map(({ path }) => path).join(", ");
    const refusal = JSON.stringify(answer.refusal);
    const text = `${node.name} wanted ${input.wants}, got ${grants.length} and could have had ${paths}; it was told ${refusal}`;
    return { wants, text };
  }
}

function isRetirement(error: Error): boolean {
  return error instanceof DispatcherError && error.code === "NODE_RETIRED";
}

function describeAnswer({ node, answer }: Spoken): string {
  if (answer instanceof Error) return `${node.name} was refused: ${answer.message}`;
  const { reports, leases, cancels, grants, refusal } = answer;
  const told = {
    reports: reports.map(({ outcome, code }) => code ?? outcome),
    leases: leases.map(({ assignmentId, term }) => `${assignmentId} term ${term}`),
    cancels: cancels.map(({ assignmentId }) => assignmentId),
    grants: grants.map(({ assignmentId, term, asset }) => `${asset.path} by ${assignmentId} term ${term}`),
    refusal,
  };
  return `${node.name} was told ${JSON.stringify(told)}`;
}

/** The reports, and what was answered to them. */
function hear(model: Model, { node, input, answer }: Spoken, nowMs: number): Heard {
  if (answer instanceof Error) throw answer;
  const heard = model.hear(node.id, input, nowMs);
  const told = answer.reports.map(({ outcome, code }) => code ?? outcome).join(", ");
  const expected = heard.answers.join(", ");
  if (told !== expected)
    throw new Disagreement(`The reports of ${node.name} were answered ${told}; the model: ${expected}.`);
  if (heard.inventoryWanted !== undefined && heard.inventoryWanted !== answer.inventoryWanted) {
    throw new Disagreement(
      `The inventory of ${node.name} is ${answer.inventoryWanted ? "" : "not "}wanted, and in the model it is otherwise.`,
    );
  }
  return heard;
}

function show(
  all: readonly { readonly id: AssignmentId; readonly term: number; readonly reservedBytes: number }[],
): string {
  return inOrder(all)
    .map(({ id, term, reservedBytes }) => `${id} term ${term} with ${reservedBytes} bytes`)
    .join(", ");
}

/** What it goes on with, and what the answer says of the leases that it listed; answers those that it did not. */
function goOn(
  model: Model,
  { node, input, answer }: Spoken,
  { heard }: Progress,
  { nowMs, isAlone }: { readonly nowMs: number; readonly isAlone: boolean },
): readonly AssignmentId[] {
  if (answer instanceof Error) throw answer;
  const paused = model.goOn(node.id, heard?.away ?? [], nowMs);
  const open = model.openOf(node.id);
  const listed = new Set(input.open.map(({ assignmentId }) => assignmentId));
  const leases = open.filter(({ id, isSurplus }) => listed.has(id) && !isSurplus);
  const told = show(answer.leases.map(({ assignmentId: id, ...lease }) => ({ id, ...lease })));
  if (told !== show(leases))
    throw new Disagreement(`${node.name} was told the leases ${told}; the model: ${show(leases)}.`);
  for (const { assignmentId, expiresAtMs } of answer.leases) {
    const lease = open.find(({ id }) => id === assignmentId);
    if (Math.abs((lease?.expiresAtMs ?? 0) - expiresAtMs) > 10_000) {
      throw new Disagreement(`${node.name} was told that ${assignmentId} ends at another time than in the model.`);
    }
  }
  const over = [...listed].filter((id) => !leases.some((one) => one.id === id) && !paused.includes(id));
  const cancels = answer.cancels.map(({ assignmentId }) => assignmentId);
  // Who holds an asset is looked at before its origin is locked: of those that meet in between, one may be told to wait first.
  const toldOver = isAlone ? over : over.filter((id) => cancels.includes(id));
  if (cancels.toSorted().join() !== toldOver.toSorted().join()) {
    throw new Disagreement(`${node.name} was told to stop ${cancels.join()}; the model: ${over.join()}.`);
  }
  return open.flatMap(({ id }) => (listed.has(id) ? [] : [id]));
}

/** Grants that the node had not heard of come again, all of them. */
function requireSentAgain(model: Model, { node, answer }: Spoken, { unlisted = [], grants }: Progress): void {
  if (answer instanceof Error) throw answer;
  const expected = show(unlisted.flatMap((id) => model.leases.get(id) ?? []).filter(({ state }) => isOpenState(state)));
  const isNew = ({ assignmentId }: Grant): boolean => grants.some((grant) => grant.assignmentId === assignmentId);
  const told = show(
    answer.grants
      .filter((grant) => !isNew(grant) && unlisted.includes(grant.assignmentId))
      .map(({ assignmentId: id, term, reservedBytes }) => ({ id, term, reservedBytes })),
  );
  if (told !== expected) {
    throw new Disagreement(`${node.name} was sent ${told} again; the model: ${expected}.`);
  }
}
