/**
 * The origin's budget against a plain model: it keeps every event that ever happened and works each answer out from them
 * anew, by counting and searching, where the machine keeps a few numbers.
 */
/* oxlint-disable vitest/no-conditional-expect -- a property asks more of some cases than of others */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  changeBudget,
  newOrigin,
  openSlots,
  recordFailure,
  recordSuccess,
  recordThrottle,
  returnSlots,
  takeSlots,
} from "./origin.ts";
import type { Origin, OriginBudget } from "./origin.ts";

const MINUTE_MS = 60_000;
const TEN_MINUTES_MS = 10 * MINUTE_MS;
const HOUR_MS = 3_600_000;
const MINUTES_OF_DAY = 1440;

type Event =
  | { readonly kind: "take"; readonly atMs: number; readonly count: number }
  | { readonly kind: "return"; readonly atMs: number; readonly count: number }
  | { readonly kind: "success"; readonly atMs: number; readonly firstByteMs: number | null }
  | { readonly kind: "throttle"; readonly atMs: number; readonly retryAfterMs: number | null }
  | { readonly kind: "failure"; readonly atMs: number }
  | { readonly kind: "pause"; readonly atMs: number; readonly paused: boolean }
  | { readonly kind: "budget"; readonly atMs: number; readonly budget: OriginBudget };

type EventOf<Kind extends Event["kind"]> = Extract<Event, { readonly kind: Kind }>;

class Model {
  readonly events: Event[] = [];
  readonly first: OriginBudget;
  readonly #closedUntilMs = new Map<number, number>();

  constructor(first: OriginBudget) {
    this.first = first;
  }

  /** All of one kind, in the order in which they happened; the place of each in the history beside it. */
  all<Kind extends Event["kind"]>(kind: Kind, until = this.events.length): [EventOf<Kind>, number][] {
    return this.events
      .slice(0, until)
      .flatMap((event, at) => (event.kind === kind ? [[event as EventOf<Kind>, at]] : []));
  }

  budget(until = this.events.length): OriginBudget {
    return this.all("budget", until).at(-1)?.[0].budget ?? this.first;
  }

  isPaused(): boolean {
    return this.all("pause").at(-1)?.[0].paused ?? false;
  }

  /** What is in use: the largest difference of takes and returns over all ends of the history, as it never falls below 0. */
  inUse(): number {
    const changes = this.events.map((event) =>
      event.kind === "take" ? event.count : event.kind === "return" ? -event.count : 0,
    );
    const ends = Array.from({ length: changes.length + 1 }, (_, from) =>
      changes.slice(from).reduce((sum, change) => sum + change, 0),
    );
    return Math.max(0, ...ends);
  }

  /** Failures since the last success that met no open breaker. */
  failures(until = this.events.length): number {
    const since = this.all("success", until).at(-1)?.[1] ?? -1;
    let failures = 0;
    for (const [{ atMs }, at] of this.all("failure", until)) {
      if (at < since) continue;
      const isOpen = failures >= 5 && atMs < this.closedUntilMs(at);
      if (!isOpen) failures += 1;
    }
    return failures;
  }

  /** The latest end of all pauses so far. */
  closedUntilMs(until = this.events.length): number {
    const known = this.#closedUntilMs.get(until);
    if (known !== undefined) return known;
    let latest = 0;
    for (const [{ atMs, retryAfterMs }] of this.all("throttle", until)) {
      latest = Math.max(latest, atMs + Math.min(6 * HOUR_MS, Math.max(1000, retryAfterMs ?? 5 * MINUTE_MS)));
    }
    for (const [{ atMs }, at] of this.all("failure", until)) {
      const before = this.failures(at);
      const after = this.failures(at + 1);
      if (after === before || after < 5) continue;
      const pauseMs = [1, 2, 4, 8, 16, 32][after - 5] ?? 60;
      latest = Math.max(latest, atMs + pauseMs * MINUTE_MS);
    }
    this.#closedUntilMs.set(until, latest);
    return latest;
  }

  /** The first minute from now on that is in no quiet hour, found by walking. */
  quietUntilMs(nowMs: number): number {
    const { quietHours = [] } = this.budget();
    const isQuiet = (minute: number): boolean =>
      quietHours.some(({ fromMinute, toMinute }) => {
        for (let at = fromMinute; ; at = (at + 1) % MINUTES_OF_DAY) {
          if (at === minute) return true;
          if ((at + 1) % MINUTES_OF_DAY === toMinute % MINUTES_OF_DAY) return false;
        }
      });
    let minute = Math.floor(nowMs / MINUTE_MS);
    while (isQuiet(minute % MINUTES_OF_DAY)) minute += 1;
    return Math.max(nowMs, minute * MINUTE_MS);
  }

  /** The history of the concurrency and of how slow the answers were, told from the beginning. */
  adaptation(): { readonly concurrency: number; readonly cleanSinceMs: number; readonly slowInARow: number } {
    let concurrency = this.first.concurrencyMax;
    let cleanSinceMs = 0;
    let slowInARow = 0;
    const measured: number[] = [];
    let baseline = 0;
    let recent = 0;
    for (const [at, event] of this.events.entries()) {
      if (event.kind === "budget") concurrency = event.budget.concurrencyMax;
      if (event.kind === "throttle") {
        if (event.atMs >= this.closedUntilMs(at)) concurrency = Math.max(1, Math.floor(concurrency / 2));
        cleanSinceMs = event.atMs;
      }
      if (event.kind !== "success") continue;
      const { atMs, firstByteMs } = event;
      if (firstByteMs !== null) {
        const isWarm = measured.length >= 10;
        const stepMs = baseline < 100 ? 100 : baseline;
        const limit = baseline + stepMs;
        const counted = isWarm ? Math.min(firstByteMs, baseline + 3 * stepMs) : firstByteMs;
        measured.push(counted);
        const mean = measured.reduce((sum, one) => sum + one, 0) / measured.length;
        baseline = measured.length <= 100 ? mean : 0.99 * baseline + 0.01 * counted;
        recent = isWarm ? 0.7 * recent + 0.3 * counted : mean;
        slowInARow = isWarm && recent > limit ? slowInARow + 1 : 0;
      }
      if (atMs - cleanSinceMs < TEN_MINUTES_MS) continue;
      if (slowInARow >= 5) {
        concurrency = Math.max(1, Math.floor(concurrency / 2));
        cleanSinceMs = atMs;
        slowInARow = 0;
      } else if (slowInARow === 0 && concurrency < this.budget(at).concurrencyMax) {
        concurrency += 1;
        cleanSinceMs = atMs;
      }
    }
    return { concurrency, cleanSinceMs, slowInARow };
  }

  /**
   * The tokens of a bucket are what its least filled past allows: since any moment at which it may have been full, no more
   * can be in it than its size and what ran in since, less what was taken since.
   */
  tokens(nowMs: number, until = this.events.length): number {
    const changedAt = this.all("budget", until).at(-1)?.[1] ?? null;
    const budget = this.budget(until);
    const size = Math.max(1, Math.floor(budget.requestsPerMinute / 10));
    const perMs = (budget.requestsPerMinute - (size - 1)) / MINUTE_MS;
    // A changed budget finds what was left by the last take before it, and fills from that time on.
    const fromMs = this.all("take", changedAt ?? 0).at(-1)?.[0].atMs ?? 0;
    const atStart = changedAt === null ? size : Math.min(size, this.tokens(fromMs, changedAt));
    const takes = this.all("take", until).filter(([, at]) => at >= (changedAt ?? 0));
    const moments = [
      { atMs: fromMs, at: -1, tokens: atStart },
      ...takes.map(([{ atMs }, at]) => ({ atMs, at, tokens: size })),
      { atMs: nowMs, at: until, tokens: size },
    ];
    return Math.min(
      ...moments.map(({ atMs, at, tokens }) => {
        const taken = takes.filter(([, other]) => other >= at).reduce((sum, [{ count }]) => sum + count, 0);
        return tokens + (nowMs - atMs) * perMs - taken;
      }),
    );
  }

  open(nowMs: number): { readonly slots: number; readonly retryAfterMs: number; readonly tokens: number | null } {
    if (this.isPaused()) return { slots: 0, retryAfterMs: MINUTE_MS, tokens: null };
    const untilMs = Math.max(this.closedUntilMs(), this.quietUntilMs(nowMs));
    if (untilMs > nowMs) return { slots: 0, retryAfterMs: untilMs - nowMs, tokens: null };
    const concurrency = this.failures() >= 5 ? 1 : this.adaptation().concurrency;
    const free = concurrency - this.inUse();
    if (free <= 0) return { slots: 0, retryAfterMs: 15_000, tokens: null };
    const tokens = this.tokens(nowMs);
    if (tokens >= 1) return { slots: Math.min(free, Math.floor(tokens)), retryAfterMs: 15_000, tokens };
    const { requestsPerMinute } = this.budget();
    const perMs = (requestsPerMinute - (Math.max(1, Math.floor(requestsPerMinute / 10)) - 1)) / MINUTE_MS;
    return { slots: 0, retryAfterMs: Math.ceil((1 - tokens) / perMs), tokens };
  }
}

/** Where the tokens are at a whole number but for rounding, the two may tell one more or one less. */
function isOnEdge(tokens: number | null): boolean {
  return tokens !== null && Math.abs(tokens - Math.round(tokens)) < 1e-6;
}

type World = { readonly model: Model; origin: Origin; nowMs: number };
type Step = { readonly name: string; readonly run: (world: World) => void };

function step(name: string, run: (world: World) => void): Step & { readonly [fc.toStringMethod]: () => string } {
  return { name, run, [fc.toStringMethod]: () => name };
}

const budgets: fc.Arbitrary<OriginBudget> = fc.record(
  {
    concurrencyMax: fc.integer({ min: 1, max: 9 }),
    requestsPerMinute: fc.constantFrom(1, 3, 9, 10, 19, 20, 30, 600),
    quietHours: fc.array(
      fc
        .record({ fromMinute: fc.nat({ max: 40 }), minutes: fc.integer({ min: 1, max: 30 }) })
        .map(({ fromMinute, minutes }) => ({ fromMinute, toMinute: fromMinute + minutes })),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: ["concurrencyMax", "requestsPerMinute"] },
);

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .oneof(fc.constant(0), fc.nat({ max: 100 }), fc.nat({ max: 15_000 }), fc.nat({ max: 15 * MINUTE_MS }))
      .map((ms) =>
        step(`${ms} ms pass`, (world) => {
          world.nowMs += ms;
        }),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(-1, 0).map((ms) =>
      step(`the pause ends in ${-ms} ms`, (world) => {
        world.nowMs = Math.max(world.nowMs, world.model.closedUntilMs() + ms);
      }),
    ),
  },
  {
    weight: 5,
    arbitrary: fc.integer({ min: 1, max: 9 }).map((most) =>
      step(`up to ${most} taken`, (world) => {
        const count = Math.min(most, openSlots(world.origin, world.nowMs).slots);
        world.origin = takeSlots(world.origin, count, world.nowMs);
        world.model.events.push({ kind: "take", atMs: world.nowMs, count });
      }),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.nat({ max: 9 }).map((count) =>
      step(`${count} returned`, (world) => {
        world.origin = returnSlots(world.origin, count);
        world.model.events.push({ kind: "return", atMs: world.nowMs, count });
      }),
    ),
  },
  {
    weight: 6,
    arbitrary: fc
      .record({
        firstByteMs: fc.option(fc.constantFrom(0, 50, 200, 210, 390, 420, 1000, 60_000), { nil: null }),
        times: fc.constantFrom(1, 1, 1, 6, 12),
      })
      .map(({ firstByteMs, times }) =>
        step(`${times} well, first byte after ${firstByteMs ?? "?"} ms`, (world) => {
          for (let index = 0; index < times; index++) {
            world.origin = recordSuccess(world.origin, world.nowMs, firstByteMs);
            world.model.events.push({ kind: "success", atMs: world.nowMs, firstByteMs });
          }
        }),
      ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(1, 1, 4, 5).map((times) =>
      step(`${times} failed`, (world) => {
        for (let index = 0; index < times; index++) {
          world.origin = recordFailure(world.origin, world.nowMs);
          world.model.events.push({ kind: "failure", atMs: world.nowMs });
        }
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(null, -1, 0, 999, 1001, 30_000, 7 * HOUR_MS).map((retryAfterMs) =>
      step(`throttled, Retry-After ${retryAfterMs ?? "absent"}`, (world) => {
        world.origin = recordThrottle(world.origin, world.nowMs, retryAfterMs);
        world.model.events.push({ kind: "throttle", atMs: world.nowMs, retryAfterMs });
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.boolean().map((paused) =>
      step(paused ? "paused" : "resumed", (world) => {
        world.origin = { ...world.origin, paused };
        world.model.events.push({ kind: "pause", atMs: world.nowMs, paused });
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: budgets.map((budget) =>
      step(`budget ${JSON.stringify(budget)}`, (world) => {
        world.origin = changeBudget(world.origin, budget);
        world.model.events.push({ kind: "budget", atMs: world.nowMs, budget });
      }),
    ),
  },
);

test("an origin answers at every moment what its whole history, worked out anew, says", () => {
  fc.assert(
    fc.property(budgets, fc.array(steps, { maxLength: 40 }), (budget, story) => {
      const world: World = { model: new Model(budget), origin: newOrigin(budget, 0), nowMs: 0 };
      for (const { run } of story) {
        run(world);
        const { model, origin, nowMs } = world;
        const expected = model.open(nowMs);
        const actual = openSlots(origin, nowMs);
        if (isOnEdge(expected.tokens)) {
          expect(Math.abs(actual.slots - expected.slots)).toBeLessThanOrEqual(1);
        } else {
          expect(actual.slots).toBe(expected.slots);
          expect(Math.abs(actual.retryAfterMs - expected.retryAfterMs)).toBeLessThanOrEqual(1);
        }
        const { concurrency, cleanSinceMs, slowInARow } = model.adaptation();
        expect({
          concurrency: origin.concurrency,
          cleanSinceMs: origin.cleanSinceMs,
          slowInARow: origin.latency?.slowInARow ?? 0,
          inUse: origin.inUse,
          failures: origin.failures,
          closedUntilMs: origin.closedUntilMs ?? 0,
        }).toEqual({
          concurrency,
          cleanSinceMs,
          slowInARow: Math.min(5, slowInARow),
          inUse: model.inUse(),
          failures: model.failures(),
          closedUntilMs: model.closedUntilMs(),
        });
      }
    }),
    { numRuns: 1000 },
  );
});
