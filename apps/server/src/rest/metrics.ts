import { DispatcherError } from "@dispatcher/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ServerConfig } from "../config.ts";
import type { Http } from "../http/create-http.ts";
import type { GaugeValues, Metrics } from "../metrics.ts";
import type { Services } from "../services/index.ts";
import { isSameSecret } from "../services/secrets.ts";

export type MetricsParts = {
  readonly config: ServerConfig;
  readonly services: Services;
  readonly metrics: Metrics;
  readonly shell: Http;
};

/** Several who scrape, or one who scrapes often, cost one look at the database in so many ms. */
const KEPT_MS = 5_000;

export function registerMetrics(http: FastifyInstance, { config, services, metrics, shell }: MetricsParts): void {
  let kept: { readonly gauges: Promise<GaugeValues>; readonly atMs: number } | null = null;
  const gaugesNow = (): Promise<GaugeValues> => {
    if (kept === null || performance.now() - kept.atMs > KEPT_MS) {
      kept = { gauges: services.readMetrics(), atMs: performance.now() };
      kept.gauges.catch(() => (kept = null));
    }
    return kept.gauges;
  };

  http.get("/metrics", { config: { callClass: "probe" } }, async (request, reply) => {
    await requireReader(request, { config, services, shell });
    const { load, connections } = shell;
    const text = await metrics.render({
      ...(await gaugesNow()),
      dispatcher_requests_in_progress: [{ value: load.requests }],
      dispatcher_connections: [{ value: connections() }],
      dispatcher_lateness_seconds: [{ value: load.latenessMs / 1000 }],
    });
    return reply.type(metrics.contentType).header("cache-control", "no-store").send(text);
  });
}

/** @throws DispatcherError KEY_MISSING, KEY_INVALID, FORBIDDEN, NODE_RETIRED unless the caller may read the metrics */
async function requireReader(
  request: FastifyRequest,
  { config, services, shell }: Omit<MetricsParts, "metrics">,
): Promise<void> {
  const readers = config.DISPATCHER_METRICS;
  if (readers === "public") return;
  const { caller } = request;
  if (caller.key === null) {
    throw new DispatcherError("KEY_MISSING", "The metrics need the token of DISPATCHER_METRICS, or the admin key.");
  }
  try {
    const isReader = readers !== undefined && isSameSecret(caller.key, readers);
    if (!isReader && (await services.authenticate(caller.key)).kind !== "admin") {
      throw new DispatcherError("FORBIDDEN", "Only an administrator may read the metrics.");
    }
    shell.limits.know(caller);
  } catch (error) {
    if (error instanceof DispatcherError && error.code === "KEY_INVALID") shell.limits.blame(caller, performance.now());
    throw error;
  }
}
