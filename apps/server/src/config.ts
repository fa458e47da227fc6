/**
 * The environment, read once and checked whole: every fault is told in one error, so that nobody starts five times to
 * learn five of them. Each variable may be given as NAME_FILE instead, the path of a file that holds the value.
 */
import { readFileSync } from "node:fs";
import { DispatcherError } from "@dispatcher/core";
import { z } from "zod";

/** Digits alone: JavaScript would read a blank as 0 and `1e3` as a thousand, which nobody means. */
const count = (least: number, most: number) =>
  z
    .string()
    .refine((text) => /^\d{1,16}$/.test(text) && Number(text) >= least && Number(text) <= most, {
      error: `has to be a whole number from ${least} to ${most}`,
    })
    .transform(Number);
const word = z.string().regex(/^\S+$/, "has to be a text without blanks");
const durationMs = count(0, 365 * 86_400_000);

const EnvironmentShape = z
  .object({
    DISPATCHER_HOST: z
      .string()
      .regex(/^\S+$/, "has to be an address of this machine or its name")
      .default("0.0.0.0")
      .describe("address to listen on; 0.0.0.0 for every network interface"),
    DISPATCHER_PORT: count(0, 65_535).default(8001).describe("port to listen on; 0 for any free one"),
    LOG_LEVEL: z
      .enum(["DEBUG", "INFO", "WARNING", "ERROR"], "has to be DEBUG, INFO, WARNING or ERROR")
      .default("INFO")
      .describe("least level that is logged"),
    // Several hosts may stand in it, which no URL parser knows: what is behind the scheme is the database layer's to read.
    DATABASE_URL: z
      .string()
      .regex(/^postgres(ql)?:\/\/\S+$/, "has to begin with postgres:// or postgresql://")
      .optional()
      .describe("PostgreSQL 15 or newer; without it the server starts its own below DISPATCHER_DATA_DIR"),
    DISPATCHER_DATA_DIR: z
      .string()
      .min(1, "has to be the path of a folder")
      .default("./.dispatcher")
      .describe("where the server keeps its own PostgreSQL"),
    DISPATCHER_DATABASE_POOL: count(2, 100).default(10).describe("connections to PostgreSQL"),
    DISPATCHER_ADMIN_KEY: z
      .string()
      .regex(/^\S{16,200}$/, "has to be 16 to 200 characters without blanks")
      .optional()
      .describe("key for administration over the network, beside those that were made"),
    DISPATCHER_PUBLIC_READ: z
      .enum(["on", "off"], "has to be on or off")
      .default("on")
      .describe("whether anybody may read progress; off: only with a key"),
    DISPATCHER_JWT_ISSUER: word
      .optional()
      .describe("issuer (iss) whose tokens (JWT) are taken in place of keys; set with the next two"),
    DISPATCHER_JWT_AUDIENCE: word.optional().describe("audience (aud) that such tokens have to be meant for"),
    DISPATCHER_JWT_JWKS: word
      .regex(/^(https?:\/\/|(?![a-z][a-z0-9+.-]+:\/\/))/i, "has to be an https or http URL or the path of a file")
      .optional()
      .describe("the issuer's public keys (JWKS): a URL or the path of a file"),
    DISPATCHER_JWT_ROLE_CLAIM: word
      .default("role")
      .describe("claim of a token with its role or roles (admin, operator, viewer); a.b for b within a"),
    DISPATCHER_JWT_OPERATOR_CLAIM: word
      .default("operator")
      .describe("claim of an operator's token with the operator's name; a.b for b within a"),
    DISPATCHER_SYNC_INTERVAL_MS: count(100, 3_600_000)
      .default(60_000)
      .describe("how often a node with nothing to tell syncs"),
    DISPATCHER_SWEEP_INTERVAL_MS: count(100, 600_000).default(5_000).describe("how often leases and nodes are swept"),
    DISPATCHER_LEASE_MIN_MS: durationMs.default(15 * 60_000).describe("shortest lease"),
    DISPATCHER_LEASE_GRACE_MS: durationMs
      .default(10 * 60_000)
      .describe("time between a lease's deadline and its reclaim"),
    DISPATCHER_LEASE_CAP_MS: durationMs.default(7 * 86_400_000).describe("longest lease, renewals included"),
    DISPATCHER_LEASE_HORIZON_MS: durationMs
      .default(3_600_000)
      .describe("work given to a node at once, at its measured rate"),
    DISPATCHER_RESTART_MERCY_MS: durationMs.default(5 * 60_000).describe("nothing expires for so long after a start"),
    DISPATCHER_RETRY_BASE_MS: durationMs
      .default(30_000)
      .describe("first pause of an asset after a failure; doubles with each"),
    DISPATCHER_NODE_OFFLINE_MS: durationMs.default(3_600_000).describe("silence after which a node is offline"),
    DISPATCHER_NODE_LOST_MS: durationMs.default(86_400_000).describe("silence after which its copies stop counting"),
    DISPATCHER_NODE_RETIRED_MS: durationMs
      .default(30 * 86_400_000)
      .describe("silence after which it has to join again"),
    DISPATCHER_EVENTS_DAYS: count(1, 36_500).default(400).describe("days for which the log of events is kept"),
    DISPATCHER_QUOTA_MAX: count(1, 1000).default(32).describe("most open leases a node can earn"),
    DISPATCHER_UNKNOWN_SIZE_BYTES: count(1, 2 ** 50)
      .default(256 * 2 ** 20)
      .describe("reserved for a file of unknown size"),
    DISPATCHER_ORIGIN_CONCURRENCY: count(1, 1000)
      .default(2)
      .describe("concurrent fetches from an origin without a budget of its own"),
    DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: count(1, 1_000_000)
      .default(30)
      .describe("fetches begun a minute at an origin without a budget of its own"),
    DISPATCHER_COPIES_MIN: count(1, 100)
      .default(2)
      .describe("copies of a new dataset below which it is in danger; read by whoever imports, as the next two"),
    DISPATCHER_COPIES_TARGET: count(1, 100).default(3).describe("copies of a new dataset that are aimed at"),
    DISPATCHER_COPIES_MAX: count(1, 100).default(5).describe("copies of a new dataset that are never passed"),
  })
  .superRefine((env, context) => {
    const mustGrow = (names: readonly (keyof typeof env)[]): void => {
      for (const [index, name] of names.slice(1).entries()) {
        const before = names[index] as keyof typeof env;
        const [least, value] = [env[before], env[name]];
        // One that is malformed is still text here, and has been told.
        if (typeof least === "number" && typeof value === "number" && least > value) {
          context.addIssue({ code: "custom", path: [name], message: `has to be at least ${before} (${least})` });
        }
      }
    };
    mustGrow(["DISPATCHER_COPIES_MIN", "DISPATCHER_COPIES_TARGET", "DISPATCHER_COPIES_MAX"]);
    mustGrow(["DISPATCHER_NODE_OFFLINE_MS", "DISPATCHER_NODE_LOST_MS", "DISPATCHER_NODE_RETIRED_MS"]);
    mustGrow(["DISPATCHER_LEASE_MIN_MS", "DISPATCHER_LEASE_CAP_MS"]);
    const jwt = ["DISPATCHER_JWT_ISSUER", "DISPATCHER_JWT_AUDIENCE", "DISPATCHER_JWT_JWKS"] as const;
    // One that is blank is malformed, and has been told.
    const given = jwt.find((name) => /\S/.test(env[name] ?? ""));
    const missing = jwt.filter((name) => env[name] === undefined);
    if (given !== undefined && missing.length > 0) {
      const message = `has to be set together with ${missing.join(" and ")}`;
      context.addIssue({ code: "custom", path: [given], message });
    }
  });

export type ServerConfig = z.output<typeof EnvironmentShape>;

/** Values that are never shown, in errors neither. */
const SECRETS: ReadonlySet<string> = new Set(["DISPATCHER_ADMIN_KEY", "DATABASE_URL"]);

type Environment = Readonly<Record<string, string | undefined>>;

/** Each setting with its default and meaning, for `--help`. */
export function describeSettings(): readonly {
  readonly name: string;
  readonly fallback: string;
  readonly meaning: string;
}[] {
  return Object.entries(EnvironmentShape.shape).map(([name, shape]) => {
    const parsed = shape.safeParse(undefined);
    const fallback = parsed.success && parsed.data !== undefined ? String(parsed.data) : "none";
    return { name, fallback, meaning: shape.description ?? "" };
  });
}

/** The value of NAME, or what the file of NAME_FILE holds without the line break at its end. */
function valueOf(env: Environment, name: string, faults: string[]): string | undefined {
  const direct = env[name];
  const file = env[`${name}_FILE`];
  if (file === undefined || file === "") return direct === "" ? undefined : direct;
  if (direct !== undefined && direct !== "") {
    faults.push(`${name} and ${name}_FILE are both set: keep one`);
    return direct;
  }
  try {
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    faults.push(
      `${name}_FILE=${file} cannot be read (${cause instanceof Error && "code" in cause ? String(cause.code) : "unknown"})`,
    );
    return undefined;
  }
}

/** @throws DispatcherError CONFIG_INVALID that names every fault, with what was given and what is allowed */
export function readConfig(env: Environment): ServerConfig {
  const faults: string[] = [];
  const names = Object.keys(EnvironmentShape.shape);
  const given = Object.fromEntries(names.map((name) => [name, valueOf(env, name, faults)]));
  const parsed = EnvironmentShape.safeParse(given);
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) {
      const name = path.join(".");
      const shown = SECRETS.has(name) ? "(not shown)" : (given[name] ?? "(default)");
      faults.push(`${name}=${shown}: ${message}`);
    }
  }
  if (parsed.data === undefined || faults.length > 0) {
    throw new DispatcherError("CONFIG_INVALID", `The environment has ${faults.length} fault(s): ${faults.join("; ")}.`);
  }
  return parsed.data;
}
