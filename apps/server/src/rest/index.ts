import type { FastifyInstance } from "fastify";
import type { Log } from "../log.ts";
import type { Services } from "../services/index.ts";
import { healthShownOutside } from "../shown-outside.ts";
import { VERSION } from "../version.ts";

/** The greeting that programs of the rescue system already know; byte for byte. */
const GREETING = JSON.stringify("Hello rescuer 👋");

/** The REST door: for programs that do not speak tRPC. Errors thrown here are answered as problem details with our code. */
export function registerRest(
  http: FastifyInstance,
  { services, log }: { readonly services: Services; readonly log: Log },
): void {
  http.get("/", async (_request, reply) => reply.type("application/json").send(GREETING));

  const probe = { config: { callClass: "probe" } } as const;
  /** Whoever balances load asks these two; a service that is degraded works. */
  for (const path of ["/health", "/health/ready"]) {
    http.get(path, probe, async (_request, reply) => {
      const health = healthShownOutside(await services.checkHealth(), log);
      return reply
        .code(health.status === "unavailable" ? 503 : 200)
        .header("cache-control", "no-store")
        .send(health);
    });
  }

  /** Whoever restarts the process asks this: a database that is away is no reason. */
  http.get("/health/live", probe, async (_request, reply) =>
    reply.header("cache-control", "no-store").send({ status: "ok", version: VERSION }),
  );
}
