/** All that stands between the network and the doors: joined in the order in which a request meets it. */
import type { FastifyInstance, FastifyPluginCallback } from "fastify";
import type { ServerConfig } from "../config.ts";
import type { Log } from "../log.ts";
import { registerAccessLog } from "./access-log.ts";
import { registerAnswers } from "./answers.ts";
import { registerCount, registerGuard } from "./guard.ts";
import { registerHeaders } from "./headers.ts";
import { Load, watchLateness } from "./load.ts";
import { RateLimits } from "./rate-limits.ts";
import { createHttpServer } from "./server.ts";
import type { HttpServer } from "./server.ts";

export type Http = HttpServer & {
  readonly limits: RateLimits;
  readonly load: Load;
};

/** @throws DispatcherError CONFIG_INVALID for a certificate that cannot be used */
export function createHttp(config: ServerConfig, log: Log, random: () => number): Http {
  const server = createHttpServer(config, log);
  const { http } = server;
  const lateness = watchLateness();
  http.addHook("onClose", async () => lateness.close());
  const load = new Load(config, { latenessMs: lateness.read, random, nowMs: () => performance.now() });
  const limits = new RateLimits(config);
  registerCount(http, load);
  registerAccessLog(http, log);
  registerAnswers(http, log);
  registerHeaders(http, config);
  // Behind the headers, so that a browser may read a refusal.
  void http.register(inPlace((instance) => registerGuard(instance, { config, log, load, limits })));
  return { ...server, limits, load };
}

/** A plugin whose hooks hold for all routes, those of its siblings too. */
function inPlace(register: (http: FastifyInstance) => void): FastifyPluginCallback {
  const plugin: FastifyPluginCallback = (http, _options, done) => {
    register(http);
    done();
  };
  return Object.assign(plugin, { [Symbol.for("skip-override")]: true });
}
