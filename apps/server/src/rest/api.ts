/** `/api/v1`: every procedure of the router over plain HTTP and JSON, with the same rights, checks and errors. */
import { DispatcherError } from "@dispatcher/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { refuse } from "../http/answers.ts";
import { classOfCall } from "../http/calls.ts";
import { callProcedure } from "../router/call-procedure.ts";
import type { CallTools } from "../router/call-procedure.ts";
import { toDispatcherError } from "../router/trpc.ts";
import { shownOutside } from "../shown-outside.ts";
import type { RestProcedure } from "./procedures.ts";
import { readQuery } from "./read-query.ts";

export type ApiOptions = CallTools & {
  readonly procedures: readonly RestProcedure[];
};

export function registerApi(http: FastifyInstance, { procedures, ...options }: ApiOptions): void {
  for (const procedure of procedures) registerProcedure(http, procedure, options);
}

function registerProcedure(
  http: FastifyInstance,
  { path, kind, method, url, input }: RestProcedure,
  { createContext, logRefusal }: Omit<ApiOptions, "procedures">,
): void {
  const readInput = ({ query, body }: FastifyRequest): unknown =>
    kind === "query" ? readQuery(query as Record<string, string>, input?.schema ?? null) : body;
  http.route({
    method,
    url,
    config: { callClass: classOfCall(path) },
    handler: async (request, reply) => {
      const outcome = await callProcedure(request, reply, {
        path,
        type: kind,
        readInput: () => readInput(request),
        createContext,
        logRefusal,
      });
      if ("data" in outcome) return reply.type("application/json").send(JSON.stringify(outcome.data ?? null));
      const { error } = outcome;
      const known = toDispatcherError(error) ?? new DispatcherError("INTERNAL", "Something unexpected happened.");
      return refuse(request, reply, shownOutside(known));
    },
  });
}
