/**
 * Every setting of the server, in one schema: names, defaults, what is allowed, what each is for. `--help`,
 * `--print-config` and docs/configuration.md are made of it. It is checked whole: every fault is told in one error, so that
 * nobody starts five times to learn five of them.
 */
import { isIP } from "node:net";
import { DispatcherError } from "@dispatcher/core";
import { z } from "zod";
import { gatherSettings } from "./config-sources.ts";
import type { Environment, Source } from "./config-sources.ts";

/** How a value is written, and what it becomes. `allowed` ends the sentence "NAME has to be ...". */
type Kind<Value> = { readonly allowed: string; readonly shape: z.ZodType<Value, string> };

type Facts = {
  readonly allowed: string;
  readonly meaning: string;
  /** Never shown, in errors neither. */
  readonly isSecret: boolean;
  /** In words, where the default depends on something. */
  readonly fallback?: string;
};
const FACTS = z.registry<Facts>();

function kind<Value>(allowed: string, isRight: (text: string) => boolean, read: (text: string) => Value): Kind<Value> {
  return {
    allowed,
    shape: z
      .string()
      .refine(isRight, { error: `has to be ${allowed}` })
      .transform(read),
  };
}

/** Digits alone: JavaScript would read a blank as 0 and `1e3` as a thousand, which nobody means. */
function count(least: number, most: number): Kind<number> {
  const isRight = (given: string): boolean =>
    /^\d{1,16}$/.test(given) && Number(given) >= least && Number(given) <= most;
  return kind(`a whole number from ${least} to ${most}`, isRight, Number);
}

function text(allowed: string, pattern: RegExp): Kind<string> {
  return kind(
    allowed,
    (given) => pattern.test(given),
    (given) => given,
  );
}

function oneOf<const Word extends string>(...words: readonly Word[]): Kind<Word> {
  const allowed = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  return kind(
    allowed,
    (given) => (words as readonly string[]).includes(given),
    (given) => given as Word,
  );
}

const YES: ReadonlySet<string> = new Set(["true", "1", "yes", "on"]);
const NO: ReadonlySet<string> = new Set(["false", "0", "no", "off"]);
const yesOrNo = kind(
  "true or false",
  (given) => YES.has(given.toLowerCase()) || NO.has(given.toLowerCase()),
  (given) => YES.has(given.toLowerCase()),
);

/** Separated by commas; blanks around them count for nothing. */
function list(allowed: string, isRight: (entry: string) => boolean): Kind<readonly string[]> {
  return kind(allowed, (given) => splitList(given).every(isRight), splitList);
}

function splitList(given: string): readonly string[] {
  return given.split(",").map((entry) => entry.trim());
}

const PROXY_NAMES: ReadonlySet<string> = new Set(["loopback", "linklocal", "uniquelocal"]);

function isAddressOrNetwork(entry: string): boolean {
  const [address = "", prefix, ...more] = entry.split("/");
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

/** As a browser sends it: scheme and host, a port unless it is the scheme's own, nothing else. */
function isWebOrigin(entry: string): boolean {
  if (!URL.canParse(entry)) return false;
  const { origin, protocol } = new URL(entry);
  return origin === entry && (protocol === "http:" || protocol === "https:");
}

const word = text("a text without blanks", /^\S+$/);
const durationMs = count(0, 365 * 86_400_000);
const aFile = text("the path of a file", /\S/);

function setting<Value>(
  { shape, allowed }: Kind<Value>,
  fallback: NoInfer<Value>,
  meaning: string,
): z.ZodDefault<z.ZodType<Value, string>> {
  const whole = shape.default(fallback as never);
  FACTS.add(whole, { allowed, meaning, isSecret: false });
  return whole;
}

function optional<Value>(
  { shape, allowed }: Kind<Value>,
  meaning: string,
  facts: Partial<Pick<Facts, "isSecret" | "fallback">> = {},
): z.ZodOptional<z.ZodType<Value, string>> {
  const whole = shape.optional();
  FACTS.add(whole, { allowed, meaning, isSecret: false, ...facts });
  return whole;
}

const LISTENING = {
  DISPATCHER_HOST: setting(
    text("an address of this machine or its name", /^\S+$/),
    "0.0.0.0",
    "address to listen on; 0.0.0.0 for every network interface",
  ),
  DISPATCHER_PORT: setting(count(0, 65_535), 8001, "port to listen on; 0 for any free one"),
  DISPATCHER_TLS_CERT_FILE: optional(
    aFile,
    "certificate and its chain, PEM: with it the server speaks HTTPS; read again when it changes",
  ),
  DISPATCHER_TLS_KEY_FILE: optional(aFile, "private key of the certificate, PEM, without a passphrase"),
  DISPATCHER_TRUSTED_PROXIES: setting(
    list(
      "addresses, networks such as 10.0.0.0/8, or loopback, linklocal, uniquelocal, separated by commas",
      (entry) => PROXY_NAMES.has(entry) || isAddressOrNetwork(entry),
    ),
    [],
    "proxies whose X-Forwarded-For is believed; that of anybody else is ignored",
  ),
  DISPATCHER_CORS_ORIGINS: setting(
    list(
      "* or web origins such as https://dashboard.example.org, separated by commas",
      (entry) => entry === "*" || isWebOrigin(entry),
    ),
    [],
    "web pages that may call the server from a browser",
  ),
};

const DATABASE = {
  // Several hosts may stand in it, which no URL parser knows: what is behind the scheme is the database layer's to read.
  DATABASE_URL: optional(
    text("a URL that begins with postgres:// or postgresql://", /^postgres(ql)?:\/\/\S+$/),
    "PostgreSQL 15 or newer; without it the server starts its own below DISPATCHER_DATA_DIR",
    { isSecret: true },
  ),
  DISPATCHER_DATA_DIR: setting(
    text("the path of a folder", /^[^]+$/),
    "./.dispatcher",
    "where the server keeps its own PostgreSQL",
  ),
  DISPATCHER_DATABASE_POOL: setting(count(2, 100), 10, "connections to PostgreSQL"),
};

const SECRET_TEXT = "16 to 200 characters without blanks";

const WATCHING = {
  LOG_LEVEL: optional(oneOf("DEBUG", "INFO", "WARNING", "ERROR"), "least level that is logged", {
    fallback: "INFO; DEBUG with DEBUG=true",
  }),
  DEBUG: setting(yesOrNo, false, "log everything, unless LOG_LEVEL says otherwise"),
  DISPATCHER_ADMIN_KEY: optional(
    text(SECRET_TEXT, /^\S{16,200}$/),
    "key for administration over the network, beside those that were made",
    { isSecret: true },
  ),
  DISPATCHER_METRICS: optional(
    text(`public, or a token of ${SECRET_TEXT}`, /^(public|\S{16,200})$/),
    "who may read /metrics besides administrators: everybody, or whoever sends this token as a bearer",
    { isSecret: true },
  ),
  DISPATCHER_PUBLIC_READ: setting(oneOf("on", "off"), "on", "whether anybody may read progress; off: only with a key"),
};

const ISSUER = {
  DISPATCHER_JWT_ISSUER: optional(
    word,
    "issuer (iss) whose tokens (JWT) are taken in place of keys; set with the next two",
  ),
  DISPATCHER_JWT_AUDIENCE: optional(word, "audience (aud) that such tokens have to be meant for"),
  DISPATCHER_JWT_JWKS: optional(
    text("an https or http URL or the path of a file", /^(https?:\/\/|(?![a-z][a-z0-9+.-]+:\/\/))\S+$/i),
    "the issuer's public keys (JWKS): a URL or the path of a file",
  ),
  DISPATCHER_JWT_ROLE_CLAIM: setting(
    word,
    "role",
    "claim of a token with its role or roles (admin, operator, viewer); a.b for b within a",
  ),
  DISPATCHER_JWT_OPERATOR_CLAIM: setting(
    word,
    "operator",
    "claim of an operator's token with the operator's name; a.b for b within a",
  ),
};

const TRACES = {
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(
    kind(
      "a URL that begins with http:// or https://",
      (given) => /^https?:\/\//.test(given) && URL.canParse(given),
      (given) => given,
    ),
    "collector of OpenTelemetry traces, OTLP over HTTP, such as http://localhost:4318; none: no traces",
    { isSecret: true },
  ),
  OTEL_TRACES_SAMPLER_ARG: setting(
    kind("a number from 0 to 1", (given) => /^(0|1|0?\.\d{1,9}|1\.0{1,9})$/.test(given), Number),
    1,
    "share of requests, groups and rounds that is traced, unless the caller has decided",
  ),
};

const LIMITS = {
  DISPATCHER_RATE_READS_PER_MINUTE: setting(
    count(0, 1_000_000),
    600,
    "queries of one key, or one address, a minute; 0 for no limit",
  ),
  DISPATCHER_RATE_WRITES_PER_MINUTE: setting(
    count(0, 1_000_000),
    300,
    "mutations of one key, or one address, a minute, reports of nodes not counted; 0 for no limit",
  ),
  DISPATCHER_RATE_JOINS_PER_MINUTE: setting(
    count(0, 1_000_000),
    60,
    "joins, and calls with a key that is not known, of one address a minute; 0 for no limit",
  ),
  DISPATCHER_REQUESTS_MAX: setting(
    count(1, 1_000_000),
    2_000,
    "requests under way; from half of it on, only reports of nodes are taken",
  ),
  DISPATCHER_LOOP_DELAY_MAX_MS: setting(
    count(0, 60_000),
    500,
    "lateness of the process from which on only reports of nodes are taken, and from four times it none; 0 for no limit",
  ),
  DISPATCHER_CONNECTIONS_MAX: setting(count(1, 1_000_000), 20_000, "open connections; more are closed at once"),
  DISPATCHER_REQUEST_TIMEOUT_MS: setting(
    count(100, 3_600_000),
    60_000,
    "time for a caller to send a whole request; a third of it for the headers",
  ),
  DISPATCHER_BODY_MAX_BYTES: setting(
    count(65_536, 2 ** 30),
    16 * 2 ** 20,
    "largest body of a request with a key; without one 64 KiB are allowed",
  ),
  DISPATCHER_BATCH_MAX: setting(count(1, 1_000), 50, "calls in one tRPC batch"),
};

const NODES = {
  DISPATCHER_SYNC_INTERVAL_MS: setting(count(100, 3_600_000), 60_000, "how often a node with nothing to tell syncs"),
  DISPATCHER_SWEEP_INTERVAL_MS: setting(count(100, 600_000), 5_000, "how often leases and nodes are swept"),
  DISPATCHER_LEASE_MIN_MS: setting(durationMs, 15 * 60_000, "shortest lease"),
  DISPATCHER_LEASE_GRACE_MS: setting(durationMs, 10 * 60_000, "time between a lease's deadline and its reclaim"),
  DISPATCHER_LEASE_CAP_MS: setting(durationMs, 7 * 86_400_000, "longest lease, renewals included"),
  DISPATCHER_LEASE_HORIZON_MS: setting(durationMs, 3_600_000, "work given to a node at once, at its measured rate"),
  DISPATCHER_RESTART_MERCY_MS: setting(durationMs, 5 * 60_000, "nothing expires for so long after a start"),
  DISPATCHER_RETRY_BASE_MS: setting(durationMs, 30_000, "first pause of an asset after a failure; doubles with each"),
  DISPATCHER_NODE_OFFLINE_MS: setting(durationMs, 3_600_000, "silence after which a node is offline"),
  DISPATCHER_NODE_LOST_MS: setting(durationMs, 86_400_000, "silence after which its copies stop counting"),
  DISPATCHER_NODE_RETIRED_MS: setting(durationMs, 30 * 86_400_000, "silence after which it has to join again"),
  DISPATCHER_EVENTS_DAYS: setting(count(1, 36_500), 400, "days for which the log of events is kept"),
  DISPATCHER_QUOTA_MAX: setting(count(1, 1000), 32, "most open leases a node can earn"),
  DISPATCHER_UNKNOWN_SIZE_BYTES: setting(count(1, 2 ** 50), 256 * 2 ** 20, "reserved for a file of unknown size"),
  DISPATCHER_ORIGIN_CONCURRENCY: setting(
    count(1, 1000),
    2,
    "concurrent fetches from an origin without a budget of its own",
  ),
  DISPATCHER_ORIGIN_REQUESTS_PER_MINUTE: setting(
    count(1, 1_000_000),
    30,
    "fetches begun a minute at an origin without a budget of its own",
  ),
  DISPATCHER_COPIES_MIN: setting(
    count(1, 100),
    2,
    "copies of a new dataset below which it is in danger; read by whoever imports, as the next two",
  ),
  DISPATCHER_COPIES_TARGET: setting(count(1, 100), 3, "copies of a new dataset that are aimed at"),
  DISPATCHER_COPIES_MAX: setting(count(1, 100), 5, "copies of a new dataset that are never passed"),
};

const MOCK = {
  ENABLE_MOCK_MODE: optional(yesOrNo, "answer POST /mock_dispatch with made-up work", {
    fallback: "true; false with NODE_ENV=production",
  }),
  NODE_ENV: optional(word, "production switches off what is for development alone"),
  MOCK_DATA_PATH: optional(aFile, "made-up work to answer with, JSON; none: that which comes with the server"),
};

const SECTIONS: readonly (readonly [title: string, settings: z.ZodRawShape])[] = [
  ["Where it listens", LISTENING],
  ["Database", DATABASE],
  ["Log, metrics, administration", WATCHING],
  ["Tokens of an issuer", ISSUER],
  ["Traces", TRACES],
  ["Limits", LIMITS],
  ["Nodes, leases, origins", NODES],
  ["Mock mode", MOCK],
];

const Settings = z.object({
  ...LISTENING,
  ...DATABASE,
  ...WATCHING,
  ...ISSUER,
  ...TRACES,
  ...LIMITS,
  ...NODES,
  ...MOCK,
});
type Settings = z.output<typeof Settings>;

const EnvironmentShape = Settings.superRefine((env, context) => {
  const mustGrow = (names: readonly (keyof Settings)[]): void => {
    for (const [index, name] of names.slice(1).entries()) {
      const before = names[index] as keyof Settings;
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
  const named = jwt.find((name) => /\S/.test(env[name] ?? ""));
  const unnamed = jwt.filter((name) => env[name] === undefined);
  if (named !== undefined && unnamed.length > 0) {
    const message = `has to be set together with ${unnamed.join(" and ")}`;
    context.addIssue({ code: "custom", path: [named], message });
  }
  const [cert, key] = ["DISPATCHER_TLS_CERT_FILE", "DISPATCHER_TLS_KEY_FILE"] as const;
  if ((env[cert] === undefined) !== (env[key] === undefined)) {
    const [missing, given] = env[cert] === undefined ? [cert, key] : [key, cert];
    context.addIssue({ code: "custom", path: [missing], message: `has to be set as well, as ${given} is` });
  }
}).transform((env) => ({ ...env, LOG_LEVEL: env.LOG_LEVEL ?? (env.DEBUG ? ("DEBUG" as const) : ("INFO" as const)) }));

export type ServerConfig = z.output<typeof EnvironmentShape>;

const NAMES = Object.keys(Settings.shape);

function factsOf(name: string): Facts {
  const shape = (Settings.shape as z.ZodRawShape)[name];
  const facts = shape === undefined ? undefined : FACTS.get(shape as z.ZodType);
  if (facts === undefined) throw new Error(`There is no setting ${name}.`);
  return facts;
}

function isNone(value: unknown): boolean {
  return value === undefined || (Array.isArray(value) && value.length === 0);
}

function showValue(value: unknown): string {
  if (isNone(value)) return "none";
  return Array.isArray(value) ? value.join(",") : String(value);
}

export type SettingDescription = {
  readonly section: string;
  readonly name: string;
  readonly fallback: string;
  readonly allowed: string;
  readonly meaning: string;
};

/** Each setting with its default, what is allowed and what it means, by sections. */
export function describeSettings(): readonly SettingDescription[] {
  return SECTIONS.flatMap(([section, settings]) =>
    Object.entries(settings).map(([name, shape]) => {
      const { allowed, meaning, fallback } = factsOf(name);
      const parsed = z.safeParse(shape, undefined);
      return { section, name, fallback: fallback ?? showValue(parsed.data), allowed, meaning };
    }),
  );
}

export type LoadedConfig = {
  readonly config: ServerConfig;
  /** Where each setting that was given came from. */
  readonly sources: ReadonlyMap<string, Source>;
  /** What is no fault and probably a mistake. */
  readonly warnings: readonly string[];
};

/**
 * The settings of the environment, and of the file `.env` in `folder` what the environment does not say.
 * @throws DispatcherError CONFIG_INVALID that names every fault, with what was given and what is allowed
 */
export function loadConfig(env: Environment, folder: string): LoadedConfig {
  const { values, sources, faults, warnings } = gatherSettings(NAMES, env, folder);
  const parsed = EnvironmentShape.safeParse(Object.fromEntries(values));
  const said = [...faults];
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) {
      const name = path.join(".");
      const shown = factsOf(name).isSecret ? "(not shown)" : (values.get(name) ?? "(default)");
      said.push(`${name}=${shown}: ${message}`);
    }
  }
  if (parsed.data === undefined || said.length > 0) {
    throw new DispatcherError("CONFIG_INVALID", `The environment has ${said.length} fault(s): ${said.join("; ")}.`);
  }
  return { config: parsed.data, sources, warnings };
}

/**
 * The settings of an environment alone, whatever files lie about.
 * @throws DispatcherError CONFIG_INVALID
 */
export function readConfig(env: Environment): ServerConfig {
  return loadConfig({ ...env, DISPATCHER_ENV_FILE: "none" }, ".").config;
}

/** Lines as an environment file has them, each with where its value comes from; secrets are left out. */
export function showConfig({ config, sources }: LoadedConfig): string {
  const lines = SECTIONS.map(([section, settings]) => {
    const shown = Object.keys(settings).map((name) => {
      const value = config[name as keyof ServerConfig];
      const source = sources.get(name) ?? "default";
      if (factsOf(name).isSecret && value !== undefined && value !== "public") {
        return `# ${name} is not shown  # ${source}`;
      }
      const written = isNone(value) ? "" : showValue(value);
      return `${name}=${/[\s#"']/.test(written) ? JSON.stringify(written) : written}  # ${source}`;
    });
    return [`# ${section}`, ...shown].join("\n");
  });
  return `${lines.join("\n\n")}\n`;
}
