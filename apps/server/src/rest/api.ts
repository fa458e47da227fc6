/** `/api/v1`: every procedure of the router over plain HTTP and JSON, with the same rights, checks and errors. */
import { callTRPCProcedure, getTRPCErrorFromUnknown } from "@trpc/server";
import { DispatcherError } from "@dispatcher/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { refuse } from "../http/answers.ts";
import { classOfCall } from "../http/calls.ts";
import type { LogRefusal } from "../router/direct-calls.ts";
import { appRouter } from "../router/index.ts";
import { toDispatcherError } from "../router/trpc.ts";
import type { Context } from "../router/trpc.ts";
import { shownOutside } from "../shown-outside.ts";
import type { RestProcedure } from "./procedures.ts";
import { readQuery } from "./read-query.ts";

export type ApiOptions = {
  readonly procedures: readonly RestProcedure[];
  readonly createContext: (request: { readonly req: FastifyRequest }) => Promise<Context>;
  readonly logRefusal: LogRefusal;
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
      let context: Context | undefined;
      const hungUp = new AbortController();
      request.raw.once("close", () => {
        if (!reply.sent) hungUp.abort();
      });
      try {
        context = await createContext({ req: request });
        const data: unknown = await callTRPCProcedure({
          router: appRouter,
          path,
          type: kind,
          ctx: context,
          signal: hungUp.signal,
          batchIndex: 0,
          getRawInput: async () => readInput(request),
        });
        return await reply.type("application/json").send(JSON.stringify(data ?? null));
      } catch (cause) {
        const error = getTRPCErrorFromUnknown(cause);
        logRefusal(error, { request, path, context });
        const known = toDispatcherError(error) ?? new DispatcherError("INTERNAL", "Something unexpected happened.");
        return refuse(request, reply, shownOutside(known));
      }
    },
  });
}
