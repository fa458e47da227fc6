/**
 * Randomness that is the same on every machine: xoshiro128** (Blackman and Vigna 2018), seeded through SplitMix32. Each
 * part of a world draws from a stream of its own, so that a draw more in one part does not move the others.
 */
const TWO_32 = 4_294_967_296;

function mix(state: number): number {
  let z = state | 0;
  z = Math.imul(z ^ (z >>> 16), 0x85_eb_ca_6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2_b2_ae_35);
  return (z ^ (z >>> 16)) >>> 0;
}

function rotated(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/**
 * A number from 0 to below 1 that depends on its arguments alone. For chances that must fall the same way whatever happened
 * before: whether node 7 receives asset 9 unharmed is a fact of the world, not of the policy.
 */
export function chanceOf(seed: number, salt: number, a: number, b: number): number {
  return mix(mix(mix(mix(seed + 0x9e_37_79_b9) + salt) + Math.imul(a, 0x9e_37_79_b1)) + b) / TWO_32;
}

export class Random {
  readonly #state: Uint32Array;

  /** @param state Four words, not all 0. */
  constructor(state: readonly [number, number, number, number]) {
    this.#state = Uint32Array.from(state);
  }

  static fromSeed(seed: number, stream: string): Random {
    let base = mix(seed);
    for (const character of stream) base = mix(base + (character.codePointAt(0) ?? 0));
    const word = (place: number): number => mix(base + Math.imul(place, 0x9e_37_79_b9));
    // The last word keeps the state from being all 0.
    return new Random([word(1), word(2), word(3), word(4) | 1]);
  }

  /** A whole number from 0 to below 2^32. */
  next(): number {
    const state = this.#state;
    const result = Math.imul(rotated(Math.imul(state[1]!, 5), 7), 9) >>> 0;
    const shifted = state[1]! << 9;
    state[2]! ^= state[0]!;
    state[3]! ^= state[1]!;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= shifted;
    state[3] = rotated(state[3]!, 11);
    return result;
  }

  /** From 0 to below 1. */
  uniform(): number {
    return this.next() / TWO_32;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** A whole number from 0 to below `count`. */
  below(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** Mean 0, deviation 1. Box and Muller 1958. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Half of the draws are below the median; `sigma` is the deviation of the logarithm. */
  logNormal(median: number, sigma: number): number {
    return median * Math.exp(sigma * this.normal());
  }

  /** Few are large: P(X > x) falls as x^-alpha between the bounds. */
  pareto({ low, high, alpha }: { readonly low: number; readonly high: number; readonly alpha: number }): number {
    const ratio = (low / high) ** alpha;
    return low / (1 - this.uniform() * (1 - ratio)) ** (1 / alpha);
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.uniform());
  }
}

/** Draws 0 for the most frequent of `count`, and number n with a weight of 1 / (n + 1). O(log n) a draw. */
export function zipf(random: Random, count: number): () => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let place = 0; place < count; place += 1) {
    sum += 1 / (place + 1);
    sums[place] = sum;
  }
  return () => {
    const drawn = random.uniform() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle]! > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
