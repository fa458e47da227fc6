import type { OriginBudget } from "@dispatcher/core";
import { Random } from "../random.ts";
import { COPY_RANGES } from "./catalog.ts";
import type { Catalog } from "./catalog.ts";
import { originCount } from "./catalog.ts";

export type Origins = {
  readonly count: number;
  /** Fetches it serves at full speed at once. Nobody outside knows it. */
  readonly capacity: Uint16Array;
  /** What one fetch gets of a server that is not overloaded. */
  readonly fetchBytesPerS: Float64Array;
  /** Answers 429 above its capacity; the others take everything and grow slow. */
  readonly throttles: Uint8Array;
  /** Infinity for never. */
  readonly diesAtMs: Float64Array;
  /** What was announced; null for nothing. May be a false alarm. */
  readonly removeByMs: readonly (number | null)[];
  /** What a coordinator has set, by what is known of the origin. */
  readonly budget: readonly OriginBudget[];
};

const DAY_MS = 86_400_000;
/** Setting up a request costs a server and a line so much, whatever the size. */
export const REQUEST_MS = 500;
/** An origin could give each of its files as often as it is wanted in about so long, if it were used without a pause. */
const FULL_TIME_MS = 8 * DAY_MS;
/** What a polite downloader starts in a minute for each fetch it may have under way; the default budget's proportion. */
const REQUESTS_A_FETCH = 15;

/** Fetching time that each origin owes, if every wanted copy came from it. */
function fetchTimeMs(catalog: Catalog, fetchBytesPerS: Float64Array): Float64Array {
  const total = new Float64Array(fetchBytesPerS.length);
  for (let asset = 0; asset < catalog.count; asset += 1) {
    const origin = catalog.originOf[asset]!;
    const { target } = COPY_RANGES[catalog.copiesOf[asset]!]!;
    total[origin]! += target * (REQUEST_MS + (1000 * catalog.sizeBytes[asset]!) / fetchBytesPerS[origin]!);
  }
  return total;
}

/**
 * Origins are what is scarce: a server of a publisher, sized for its usual visitors. Capacity grows with what it holds, with
 * a spread, and is never below 1. Coordinators set budgets of 0.5 to 1.25 of the true capacity, as nobody tells them: some
 * are too high. 12 in 100 are said to go offline, at a day from the second to the 28th; of these 6 in 10 do, on that day. 3
 * in 100 go without a word. 3 in 10 answer 429 above their capacity.
 */
export function createOrigins({
  catalog,
  seed,
  spanMs,
}: {
  readonly catalog: Catalog;
  readonly seed: number;
  readonly spanMs: number;
}): Origins {
  const random = Random.fromSeed(seed, "origins");
  const count = originCount(catalog.count);
  const fetchBytesPerS = Float64Array.from({ length: count }, () => random.logNormal(1_000_000, 0.6));
  const owedMs = fetchTimeMs(catalog, fetchBytesPerS);
  const capacity = Uint16Array.from(owedMs, (owed) =>
    Math.min(4000, Math.max(1, Math.round((owed / FULL_TIME_MS) * random.logNormal(1, 0.4)))),
  );
  const budget = Array.from(capacity, (most): OriginBudget => {
    const concurrencyMax = Math.max(1, Math.floor(most * random.between(0.5, 1.25)));
    return { concurrencyMax, requestsPerMinute: REQUESTS_A_FETCH * Math.max(2, concurrencyMax) };
  });
  const throttles = Uint8Array.from({ length: count }, () => (random.uniform() < 0.3 ? 1 : 0));
  const diesAtMs = new Float64Array(count).fill(Infinity);
  const removeByMs: (number | null)[] = [];
  for (let origin = 0; origin < count; origin += 1) {
    const fate = random.uniform();
    const dayMs = Math.round(random.between(2, 28) * DAY_MS);
    removeByMs.push(fate < 0.12 ? dayMs : null);
    const dies = fate < 0.072 || (fate >= 0.12 && fate < 0.15);
    if (dies && dayMs < spanMs) diesAtMs[origin] = dayMs;
  }
  return { count, capacity, fetchBytesPerS, throttles, diesAtMs, removeByMs, budget };
}
