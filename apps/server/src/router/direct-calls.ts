/**
 * The way of the call that nodes make all day, past tRPC's adapter: the same procedure, checks, errors and bytes on the wire,
 * without the web Request, Response and streams that the adapter makes for each call, which cost more than a sync with
 * nothing to say. Only a plain single call goes this way; batches and everything else go through the adapter.
 */
import { TRPCError, callTRPCProcedure, getTRPCErrorFromUnknown, getTRPCErrorShape } from "@trpc/server";
import { fastifyRequestHandler } from "@trpc/server/adapters/fastify";
import { getHTTPStatusCodeFromError } from "@trpc/server/http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { deserialize, serialize } from "superjson";
import { appRouter } from "./index.ts";
import type { Context } from "./trpc.ts";

export const DIRECT_PATH = "node.sync";

/** Called for each failure. */
export type LogRefusal = (
  error: TRPCError,
  about: { readonly request: FastifyRequest; readonly path: string | undefined; readonly context: Context | undefined },
) => void;

export type DirectCallsOptions = {
  /** Where the router is found. */
  readonly prefix: string;
  readonly createContext: (request: { readonly req: FastifyRequest }) => Promise<Context>;
  readonly logRefusal: LogRefusal;
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
  let context: Context | undefined;
  const hungUp = new AbortController();
  request.raw.once("close", () => {
    if (!reply.sent) hungUp.abort();
  });
  try {
    context = await createContext({ req: request });
    const data: unknown = await callTRPCProcedure({
      router: appRouter,
      path: DIRECT_PATH,
      type: "mutation",
      ctx: context,
      signal: hungUp.signal,
      batchIndex: 0,
      getRawInput: () => Promise.resolve(readInput(request.body)),
    });
    return await reply.type("application/json").send(JSON.stringify({ result: { data: serialize(data) } }));
  } catch (cause) {
    const error = getTRPCErrorFromUnknown(cause);
    logRefusal(error, { request, path: DIRECT_PATH, context });
    const shape = getTRPCErrorShape({
      // oxlint-disable-next-line no-underscore-dangle -- where tRPC keeps it, and its own adapters take it from
      config: appRouter._def._config,
      error,
      type: "mutation",
      path: DIRECT_PATH,
      input: undefined,
      ctx: context,
    });
    return await reply
      .code(getHTTPStatusCodeFromError(error))
      .type("application/json")
      .send(JSON.stringify({ error: serialize(shape) }));
  }
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
