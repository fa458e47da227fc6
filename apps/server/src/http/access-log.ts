/** One line for each request, at DEBUG; for what an administrator changes at INFO, as it is asked about later. */
import type { FastifyInstance } from "fastify";
import type { Log } from "../log.ts";
import type { Actor } from "../services/authenticate.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Who called, once that is known. */
    actor: Actor | null;
  }
}

export function registerAccessLog(http: FastifyInstance, log: Log): void {
  http.decorateRequest("actor", null);
  http.addHook("onResponse", (request, reply, done) => {
    done();
    const isAdminAct = request.actor?.kind === "admin" && request.calls.some(({ callClass }) => callClass === "write");
    const level = isAdminAct ? "info" : "debug";
    if (!log.isLevelEnabled(level)) return;
    const { id, method, ip, actor } = request;
    const code = request.refusedWith ?? request.failures?.values().next().value;
    // No query: what is asked there may be nobody else's business.
    const path = request.url.split("?")[0]?.slice(0, 500);
    log[level](
      {
        event: isAdminAct ? "admin.act" : "request",
        requestId: id,
        method,
        path,
        status: reply.statusCode,
        ...(code === undefined ? {} : { code }),
        ms: Math.round(reply.elapsedTime * 10) / 10,
        address: ip,
        actor: actor?.kind ?? "anyone",
        ...(actor?.kind === "node" ? { nodeId: actor.nodeId } : {}),
      },
      `${method} ${path} ${reply.statusCode}`,
    );
  });
}
