import { Random } from "../random.ts";

/** How a node lies: not at all, by wrong bytes, or by saying that it has what it never fetched. */
export const HONEST = 0;
export const CORRUPTING = 1;
export const PRETENDING = 2;

/** All nodes, one number each. */
export type Fleet = {
  readonly count: number;
  readonly operatorCount: number;
  readonly operatorOf: Int32Array;
  readonly joinsAtMs: Float64Array;
  /** When it leaves for good; Infinity for not within the simulation. */
  readonly leavesAtMs: Float64Array;
  /** Says so before it leaves; the others are just gone. */
  readonly saysGoodbye: Uint8Array;
  /** Offline spells of each node: start and end in turn, in order. */
  readonly spellsMs: readonly Float64Array[];
  /** Daily window in minutes, UTC; both 0 for always. */
  readonly windowFrom: Uint16Array;
  readonly windowTo: Uint16Array;
  readonly downBytesPerS: Float64Array;
  readonly upBytesPerS: Float64Array;
  readonly offeredBytes: Float64Array;
  /** From then on other things fill its disk; Infinity for never. */
  readonly fillsAtMs: Float64Array;
  readonly honesty: Uint8Array;
};

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const GB = 1_000_000_000;
/** The fleet offers so many times what all wanted copies take: nodes come late, leave, and some are too small for much. */
const OFFER_FACTOR = 4;

function spellsOf(random: Random, spanMs: number): Float64Array {
  const spells: number[] = [];
  const gapMs = random.logNormal(4 * DAY_MS, 0.7);
  let nowMs = random.exponential(gapMs);
  while (nowMs < spanMs) {
    const lengthMs = Math.min(20 * DAY_MS, Math.max(60_000, random.logNormal(3 * HOUR_MS, 1.3)));
    spells.push(Math.round(nowMs), Math.round(nowMs + lengthMs));
    nowMs += lengthMs + random.exponential(gapMs);
  }
  return Float64Array.from(spells);
}

/**
 * Half of the nodes join in the first two days, the others until four fifths of the span have passed. They stay for 90 days
 * on average (exponential), 3 in 10 of the leaving say goodbye. Each is offline every four days or so, for three hours in
 * the median and, one time in twenty, for more than a day. 3 in 10 work only in a daily window of 6 to 12 hours. Rates
 * (median 2 MB/s down, a quarter of it up) and offers are lognormal: the largest of ten thousand disks is hundreds of times
 * the median. On 3 in 100 other things fill the disk some day. Operators have one node (most) up to fifty (Pareto). 1 in
 * 100 stores wrong bytes half of the time, 1 in 100 says that it has what it has not.
 */
export function createFleet({
  nodes,
  seed,
  spanMs,
  wantedBytes,
}: {
  readonly nodes: number;
  readonly seed: number;
  readonly spanMs: number;
  /** What all wanted copies take. */
  readonly wantedBytes: number;
}): Fleet {
  const random = Random.fromSeed(seed, "fleet");
  const filled = (draw: () => number): Float64Array => Float64Array.from({ length: nodes }, draw);
  const operatorOf = new Int32Array(nodes);
  let operatorCount = 0;
  for (let node = 0; node < nodes; operatorCount += 1) {
    const own = Math.floor(random.pareto({ low: 1, high: 50, alpha: 1.5 }));
    for (let end = Math.min(nodes, node + own); node < end; node += 1) operatorOf[node] = operatorCount;
  }
  const joinsAtMs = filled(() =>
    Math.round(
      random.uniform() < 0.5 ? random.between(0, Math.min(2 * DAY_MS, spanMs / 4)) : random.between(0, 0.8 * spanMs),
    ),
  );
  const leavesAtMs = joinsAtMs.map((joinMs) => {
    const leaveMs = joinMs + Math.round(random.exponential(90 * DAY_MS));
    return leaveMs < spanMs ? leaveMs : Infinity;
  });
  const saysGoodbye = Uint8Array.from({ length: nodes }, () => (random.uniform() < 0.3 ? 1 : 0));
  const spellsMs = Array.from({ length: nodes }, () => spellsOf(random, spanMs));
  const windowFrom = new Uint16Array(nodes);
  const windowTo = new Uint16Array(nodes);
  for (let node = 0; node < nodes; node += 1) {
    if (random.uniform() >= 0.3) continue;
    const from = random.below(1440);
    windowFrom[node] = from;
    windowTo[node] = (from + 360 + random.below(361)) % 1440;
  }
  const downBytesPerS = filled(() => Math.max(20_000, random.logNormal(2_000_000, 1)));
  const upBytesPerS = downBytesPerS.map((rate) => rate / 4);
  const shares = filled(() => Math.min(400, Math.max(0.02, random.logNormal(1, 1.5))));
  const sum = shares.reduce((total, share) => total + share, 0);
  const offeredBytes = shares.map((share) => Math.max(GB, Math.round((share / sum) * OFFER_FACTOR * wantedBytes)));
  const fillsAtMs = filled(() => (random.uniform() < 0.03 ? Math.round(random.between(0, spanMs)) : Infinity));
  const honesty = Uint8Array.from({ length: nodes }, () => {
    const drawn = random.uniform();
    return drawn < 0.01 ? CORRUPTING : drawn < 0.02 ? PRETENDING : HONEST;
  });
  return {
    count: nodes,
    operatorCount,
    operatorOf,
    joinsAtMs,
    leavesAtMs,
    saysGoodbye,
    spellsMs,
    windowFrom,
    windowTo,
    downBytesPerS,
    upBytesPerS,
    offeredBytes,
    fillsAtMs,
    honesty,
  };
}
