/** What is offered: kinds of requests, each with its share of all of them. */

/** What the generator needs to know to make requests that a server would meet. */
export type Cast = {
  readonly adminKey: string;
  readonly joinToken: string;
  /** Keys of nodes that have nothing to say, and of nodes at work. */
  readonly idleKeys: readonly string[];
  readonly workingKeys: readonly string[];
};

export type Call = {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
  readonly key?: string;
  /** Told as a proxy that is trusted tells it: each caller has limits of its own. */
  readonly address: string;
};

export type KindName =
  | "sync, nothing to say"
  | "sync, finishes and claims"
  | "asset.list"
  | "stats.overview"
  | "REST stats/overview"
  | "REST asset/list"
  | "asset.import"
  | "node.join"
  | "without a key"
  | "with a made-up key"
  | "health"
  | "no such path";

/**
 * Of 5,000 a second 400 are syncs with nothing to say, which is what 24,000 nodes do: reports are never refused, so there must
 * be fewer of them than a server can answer. The others are several times as many as it can.
 */
export const SHARES: Readonly<Record<KindName, number>> = {
  "sync, nothing to say": 8,
  "sync, finishes and claims": 2,
  "asset.list": 22,
  "stats.overview": 18,
  "REST stats/overview": 12,
  "REST asset/list": 12,
  "asset.import": 0.1,
  "node.join": 0.9,
  "without a key": 9,
  "with a made-up key": 10,
  health: 1,
  "no such path": 5,
};

export const REPORTS: ReadonlySet<KindName> = new Set(["sync, nothing to say", "sync, finishes and claims"]);

/** Readers with a browser each, and a few that ask without end. Half of all reads come from either. */
const CROWD = 20_000;
const GREEDY = 8;
const ENTRIES_PER_IMPORT = 20;

/** A generator of equal numbers for an equal seed: mulberry32, Tommy Ettinger 2017. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function chooser(random: () => number): () => KindName {
  const kinds = Object.entries(SHARES) as [KindName, number][];
  const whole = kinds.reduce((sum, [, share]) => sum + share, 0);
  return () => {
    let left = random() * whole;
    for (const [kind, share] of kinds) {
      left -= share;
      if (left < 0) return kind;
    }
    return "health";
  };
}

function addressOf(network: number, host: number): string {
  return `10.${network}.${Math.floor(host / 250)}.${1 + (host % 250)}`;
}

const query = (input: unknown): string => `input=${encodeURIComponent(JSON.stringify({ json: input }))}`;

/** Every kind but the syncs of nodes, which have a memory. */
export function makeCall(
  kind: KindName,
  { cast, random, number }: { readonly cast: Cast; readonly random: () => number; readonly number: number },
): Call {
  const reader = random() < 0.5 ? addressOf(1, Math.floor(random() * CROWD)) : addressOf(2, number % GREEDY);
  const anyone = addressOf(3, Math.floor(random() * CROWD));
  if (kind === "asset.list") {
    const input = { limit: 20, ...(random() < 0.5 ? { dataset: "d" } : {}) };
    return { method: "GET", path: `/trpc/asset.list?${query(input)}`, address: reader };
  }
  if (kind === "stats.overview") return { method: "GET", path: "/trpc/stats.overview", address: reader };
  if (kind === "REST stats/overview") return { method: "GET", path: "/api/v1/stats/overview", address: reader };
  if (kind === "REST asset/list") return { method: "GET", path: "/api/v1/asset/list?limit=20", address: reader };
  if (kind === "asset.import") {
    const input = {
      dataset: { key: "imported", title: "Imported under load", sourceUrl: null },
      entries: Array.from({ length: ENTRIES_PER_IMPORT }, (_, index) => ({
        place: `line ${index}`,
        path: `${number}/${index}`,
        url: `https://origin-1.example/${number}/${index}`,
        sizeBytes: 1000,
        digest: null,
        mediaType: null,
        priority: null,
        removeByMs: null,
      })),
    };
    return { ...post("/trpc/asset.import", input, addressOf(4, 1)), key: cast.adminKey };
  }
  if (kind === "node.join") {
    const facts = { agentVersion: "1.0.0", schemes: ["https"], marginBytes: 0, offeredBytes: 1e12 };
    const input = { joinToken: cast.joinToken, name: `came under load ${number}`, ...facts };
    return post("/trpc/node.join", input, anyone);
  }
  if (kind === "without a key") return { method: "GET", path: "/trpc/key.list", address: anyone };
  if (kind === "with a made-up key") {
    // Some guess from everywhere, most from a few machines.
    const address = random() < 0.2 ? anyone : addressOf(5, number % GREEDY);
    return { ...post("/trpc/node.sync", {}, address), key: `dsp_node_${number.toString(36).padStart(43, "x")}` };
  }
  if (kind === "health") return { method: "GET", path: "/health", address: anyone };
  return { method: "GET", path: `/wp-admin/${number}`, address: anyone };
}

export function post(path: string, input: unknown, address: string): Call {
  return { method: "POST", path, body: JSON.stringify({ json: input }), address };
}

/** Where a node calls from. */
export function addressOfNode(index: number): string {
  return addressOf(6, index);
}
