/**
 * The way of the call that nodes make all day, past tRPC's adapter: the same procedure, checks, errors and bytes on the wire,
 * without the web Request, Response and streams that the adapter makes for each call, which cost more than a sync with
 * nothing to say. Only a plain single call goes this way; batches and everything else go through the adapter.
 */
import { TRPCError, getTRPCErrorShape } from "@trpc/server";
import { fastifyRequestHandler } from "@trpc/server/adapters/fastify";
import { getHTTPStatusCodeFromError } from "@trpc/server/http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { deserialize, serialize } from "superjson";
import { callProcedure } from "./call-procedure.ts";
import type { CallTools } from "./call-procedure.ts";
import { appRouter } from "./index.ts";

export const DIRECT_PATH = "node.sync";

export type DirectCallsOptions = CallTools & {
  /** Where the router is found. */
  readonly prefix: string;
};

/** A Fastify plugin: it reads bodies as text, as the adapter does, which is parsed once and here. */
export function directCalls(http: FastifyInstance, options: DirectCallsOptions, done: (error?: Error) => void): void {
  http.removeContentTypeParser("application/json");
  http.addContentTypeParser("application/json", { parseAs: "string" }, (_request, body, next) => next(null, body));
  http.post(`/${DIRECT_PATH}`, async (request, reply) => {
    const isPlain = !request.url.includes("?") && request.headers["content-type"] === "application/json";
    return isPlain ? answer(request, reply, options) : answerByAdapter(request, reply, options);
  });
  done();
}

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  { createContext, logRefusal }: DirectCallsOptions,
): Promise<FastifyReply> {
  const outcome = await callProcedure(request, reply, {
    path: DIRECT_PATH,
    type: "mutation",
    readInput: () => readInput(request.body),
    createContext,
    logRefusal,
  });
  void reply.type("application/json");
  if ("data" in outcome) return reply.send(JSON.stringify({ result: { data: serialize(outcome.data) } }));
  const { error, context } = outcome;
  const shape = getTRPCErrorShape({
    // oxlint-disable-next-line no-underscore-dangle -- where tRPC keeps it, and its own adapters take it from
    config: appRouter._def._config,
    error,
    type: "mutation",
    path: DIRECT_PATH,
    input: undefined,
    ctx: context,
  });
  return reply.code(getHTTPStatusCodeFromError(error)).send(JSON.stringify({ error: serialize(shape) }));
}

async function answerByAdapter(
  request: FastifyRequest,
  reply: FastifyReply,
  { createContext, logRefusal }: DirectCallsOptions,
): Promise<FastifyReply> {
  await fastifyRequestHandler({
    router: appRouter,
    req: request,
    res: reply,
    path: DIRECT_PATH,
    createContext,
    onError: ({ error, path, ctx }) => logRefusal(error, { request, path, context: ctx }),
  });
  return reply;
}

/** @throws TRPCError PARSE_ERROR */
function readInput(body: unknown): unknown {
  try {
    return deserialize(JSON.parse(String(body)), { inPlace: true });
  } catch (cause) {
    throw new TRPCError({ code: "PARSE_ERROR", cause });
  }
}
