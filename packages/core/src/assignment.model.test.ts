/**
 * Whole lives of an assignment against a naive model. The model writes down what has happened and, whenever it is asked,
 * reads its list from the last grant on; it knows no states, only what was said and when.
 */
/* oxlint-disable vitest/no-conditional-expect -- a property asks more of some cases than of others */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  ENDED_STATES,
  cancelIfNotStarted,
  completeAssignment,
  expireAssignment,
  failAssignment,
  isOpen,
  recordProgress,
  regrantAssignment,
  releaseAssignment,
} from "./assignment.ts";
import type { Assignment } from "./assignment.ts";
import { DispatcherError } from "./errors.ts";
import { leaseLengthMs } from "./lease.ts";

const times = { minMs: 1000, graceMs: 500, capMs: 10_000 };

/** What has happened and was accepted. */
type Entry =
  | {
      readonly kind: "grant";
      readonly term: number;
      readonly atMs: number;
      readonly lengthMs: number;
      readonly bytes: number;
    }
  | {
      readonly kind: "progress";
      readonly atMs: number;
      readonly lengthMs: number;
      readonly bytes: number;
      readonly isRunning: boolean;
    }
  | { readonly kind: "complete"; readonly bytes: number }
  | { readonly kind: "fail" | "release" | "expire" | "cancel" };

type Kind = Entry["kind"];

class Model {
  readonly entries: Entry[] = [];

  constructor(lengthMs: number) {
    this.entries.push({ kind: "grant", term: 1, atMs: 0, lengthMs, bytes: 0 });
  }

  /** What was said under the current lease, its grant first. */
  get current(): readonly Entry[] {
    return this.entries.slice(this.entries.findLastIndex(({ kind }) => kind === "grant"));
  }

  get grant(): Extract<Entry, { readonly kind: "grant" }> {
    const [grant] = this.current;
    if (grant?.kind !== "grant") throw new Error("There is always a grant.");
    return grant;
  }

  has(...kinds: readonly Kind[]): boolean {
    return this.current.some(({ kind }) => kinds.includes(kind));
  }

  get isOpen(): boolean {
    return !this.has("complete", "fail", "release", "expire", "cancel");
  }

  /** The most bytes ever told of under this lease before the entry at `until`. */
  bytesBefore(until = this.current.length): number {
    return Math.max(...this.current.slice(0, until).map((entry) => ("bytes" in entry ? entry.bytes : 0)));
  }

  get isRunning(): boolean {
    return this.current.some(
      (entry, at) =>
        (entry.kind === "grant" && entry.bytes > 0) ||
        (entry.kind === "progress" && (entry.isRunning || entry.bytes > this.bytesBefore(at))),
    );
  }

  /** The latest moment that any of its renewals reached. */
  get expiresAtMs(): number {
    const { atMs, lengthMs } = this.grant;
    const renewals = this.current.flatMap((entry, at) =>
      entry.kind === "progress" && entry.bytes > this.bytesBefore(at)
        ? [Math.min(entry.atMs + entry.lengthMs, atMs + times.capMs)]
        : [],
    );
    return Math.max(atMs + lengthMs, ...renewals);
  }

  get state(): string {
    if (this.has("complete")) return "stored";
    if (this.has("fail")) return "failed";
    if (this.has("release")) return "released";
    if (this.has("expire")) return "expired";
    if (this.has("cancel")) return "cancelled";
    return this.isRunning ? "running" : "granted";
  }
}

type World = { readonly model: Model; assignment: Assignment; nowMs: number; mercyUntilMs: number | null };

/** What the model expects: an error code, `null` for nothing new, or the entry that is written down. */
type Expected = string | Entry | null;

/** Do it to both, and see that they say the same. */
function both(world: World, expected: Expected, act: (assignment: Assignment) => Assignment): void {
  const before = Object.freeze(world.assignment);
  if (typeof expected === "string") {
    let code = "accepted";
    try {
      act(before);
    } catch (error) {
      code = error instanceof DispatcherError ? error.code : String(error);
    }
    expect(code).toBe(expected);
    return;
  }
  world.assignment = act(before);
  if (expected === null) expect(world.assignment).toEqual(before);
  else world.model.entries.push(expected);
}

type Step = { readonly run: (world: World) => void };

function step(name: string, run: Step["run"]): Step & { readonly [fc.toStringMethod]: () => string } {
  return { run, [fc.toStringMethod]: () => name };
}

/** A report names the current term mostly. */
const termOffsets = fc.constantFrom(0, 0, 0, 0, 0, -1, 1);
const work = fc.record({
  bytesLeft: fc.option(fc.nat({ max: 1000 }), { nil: null }),
  rateBytesPerS: fc.option(fc.nat({ max: 300 }), { nil: null }),
});

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 12_000 })).map((ms) =>
      step(`${ms} ms pass`, (world) => {
        world.nowMs += ms;
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(-1, 0).map((ms) =>
      step(`the grace ends in ${-ms} ms`, (world) => {
        world.nowMs = Math.max(world.nowMs, world.model.expiresAtMs + times.graceMs + ms);
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.nat({ max: 2000 }).map((ms) =>
      step(`a server starts, ${ms} ms of mercy`, (world) => {
        world.mercyUntilMs = Math.max(world.mercyUntilMs ?? 0, world.nowMs + ms);
      }),
    ),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(termOffsets, fc.nat({ max: 6 }), fc.boolean(), work)
      .map(([offset, bytesDone, isRunning, left]) =>
        step(`progress to ${bytesDone}${isRunning ? ", running" : ""}, term ${offset}`, (world) => {
          const { model, nowMs } = world;
          const lengthMs = leaseLengthMs(left, times);
          const report = { term: model.grant.term + offset, bytesDone, isRunning, nowMs, lengthMs };
          const entry: Entry = { kind: "progress", atMs: nowMs, lengthMs, bytes: bytesDone, isRunning };
          const expected = offset !== 0 ? "LEASE_TERM_STALE" : model.isOpen ? entry : "LEASE_ENDED";
          both(world, expected, (assignment) => recordProgress(assignment, report, times));
        }),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(termOffsets, fc.nat({ max: 9 })).map(([offset, sizeBytes]) =>
      step(`complete with ${sizeBytes}, term ${offset}`, (world) => {
        const { model } = world;
        const expected =
          offset !== 0
            ? "LEASE_TERM_STALE"
            : model.state === "failed"
              ? "LEASE_ENDED"
              : model.state === "stored"
                ? null
                : ({ kind: "complete", bytes: sizeBytes } as const);
        const term = model.grant.term + offset;
        both(world, expected, (assignment) => completeAssignment(assignment, { term, sizeBytes }).assignment);
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: termOffsets.map((offset) =>
      step(`fail, term ${offset}`, (world) => {
        const { model } = world;
        const entry: Entry = { kind: "fail" };
        const ended = model.state === "failed" ? null : "LEASE_ENDED";
        const expected = offset !== 0 ? "LEASE_TERM_STALE" : model.isOpen ? entry : ended;
        const report = { term: model.grant.term + offset, code: "STALLED" } as const;
        both(world, expected, (assignment) => failAssignment(assignment, report).assignment);
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: termOffsets.map((offset) =>
      step(`release, term ${offset}`, (world) => {
        const { model } = world;
        const entry: Entry = { kind: "release" };
        const ended = model.state === "released" ? null : "LEASE_ENDED";
        const expected = offset !== 0 ? "LEASE_TERM_STALE" : model.isOpen ? entry : ended;
        const term = model.grant.term + offset;
        both(world, expected, (assignment) => releaseAssignment(assignment, { term }).assignment);
      }),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constant(
      step("expire", (world) => {
        const { model, nowMs, mercyUntilMs } = world;
        const isOver = nowMs - model.expiresAtMs >= times.graceMs && !(mercyUntilMs !== null && mercyUntilMs > nowMs);
        const entry: Entry = { kind: "expire" };
        const expected = !model.isOpen ? "LEASE_ENDED" : isOver ? entry : null;
        both(world, expected, (assignment) => expireAssignment(assignment, nowMs, times, { mercyUntilMs }));
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constant(
      step("cancel", (world) => {
        const entry: Entry = { kind: "cancel" };
        const { state, isOpen: isOpenNow } = world.model;
        both(world, !isOpenNow ? "LEASE_ENDED" : state === "running" ? null : entry, cancelIfNotStarted);
      }),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom(1, 1, 2, 0, -1), fc.nat({ max: 3 }), work).map(([offset, bytesDone, left]) =>
      step(`regrant as term +${offset} with ${bytesDone}`, (world) => {
        const { model, nowMs } = world;
        const term = Math.max(0, model.grant.term + offset);
        const lengthMs = leaseLengthMs(left, times);
        const entry: Entry = { kind: "grant", term, atMs: nowMs, lengthMs, bytes: bytesDone };
        const fits = term > model.grant.term ? entry : "LEASE_TERM_STALE";
        const grant = { term, nowMs, lengthMs, reservedBytes: 9, bytesDone };
        const expected = model.state === "expired" ? fits : "LEASE_ENDED";
        both(world, expected, (assignment) => regrantAssignment(assignment, grant));
      }),
    ),
  },
);

test("a whole life goes as its history says: terms grow, deadlines keep to the cap, and only the expired come back", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(work, fc.array(steps, { maxLength: 40 }), (left, story) => {
      const lengthMs = leaseLengthMs(left, times);
      const world: World = {
        model: new Model(lengthMs),
        assignment: {
          state: "granted",
          term: 1,
          grantedAtMs: 0,
          expiresAtMs: lengthMs,
          reservedBytes: 9,
          bytesDone: 0,
        },
        nowMs: 0,
        mercyUntilMs: null,
      };
      for (const { run } of story) {
        const before = world.assignment;
        run(world);
        const { model, assignment: after } = world;
        const { term, atMs } = model.grant;
        seen.add(after.state);

        expect(after).toMatchObject({ state: model.state, term, grantedAtMs: atMs });
        expect(isOpen(after)).toBe(model.isOpen);
        const completed = model.current.find((entry) => entry.kind === "complete");
        expect(after.bytesDone).toBe(completed?.bytes ?? model.bytesBefore());

        expect(after.term).toBeGreaterThanOrEqual(before.term);
        if (isOpen(after)) {
          expect(after.expiresAtMs).toBe(model.expiresAtMs);
          expect(after.expiresAtMs).toBeLessThanOrEqual(after.grantedAtMs + times.capMs);
          if (!isOpen(before)) {
            expect(before.state).toBe("expired");
            expect(after.term).toBeGreaterThan(before.term);
          } else {
            expect(after.expiresAtMs).toBeGreaterThanOrEqual(before.expiresAtMs);
          }
        } else {
          expect(after).not.toHaveProperty("expiresAtMs");
        }
      }
    }),
    { numRuns: 2000 },
  );
  expect(seen).toEqual(new Set([...ENDED_STATES, "granted", "running"]));
});
