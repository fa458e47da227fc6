/**
 * The way of the calls that nodes make all day, past tRPC's adapter: the same procedure, checks, errors and bytes on the wire,
 * without the web Request, Response and streams that the adapter makes for each call, which cost more than a sync with
 * nothing to say. Only a plain single call goes this way; batches and everything else go through the adapter.
 */
import type { IncomingMessage } from "node:http";
import { TRPCError, callTRPCProcedure, getTRPCErrorFromUnknown, getTRPCErrorShape } from "@trpc/server";
import { getHTTPStatusCodeFromError } from "@trpc/server/http";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { deserialize, serialize } from "superjson";
import { appRouter } from "./index.ts";
import type { Context } from "./trpc.ts";

const PATH = "node.sync";
const URL_IN = `/trpc/${PATH}`;
const URL_DIRECT = `/direct/${PATH}`;

/** Where a request goes that may go straight; null for all others. */
export function directUrlOf({
  method,
  url,
  headers,
}: Pick<IncomingMessage, "method" | "url" | "headers">): string | null {
  const isPlain = url === URL_IN && method === "POST" && headers["content-type"] === "application/json";
  return isPlain ? URL_DIRECT : null;
}

export type DirectCallsOptions = {
  readonly createContext: (request: { readonly req: FastifyRequest }) => Promise<Context>;
  readonly logRefusal: (error: TRPCError, path: string, context: Context | undefined) => void;
};

/** A Fastify plugin: it reads bodies as text, which is parsed once and here. */
export function directCalls(
  http: FastifyInstance,
  { createContext, logRefusal }: DirectCallsOptions,
  done: (error?: Error) => void,
): void {
  http.addContentTypeParser("application/json", { parseAs: "string" }, (_request, body, next) => next(null, body));
  http.post(URL_DIRECT, async (request, reply) => {
    let context: Context | undefined;
    const hungUp = new AbortController();
    request.raw.once("close", () => {
      if (!reply.sent) hungUp.abort();
    });
    try {
      context = await createContext({ req: request });
      const data: unknown = await callTRPCProcedure({
        router: appRouter,
        path: PATH,
        type: "mutation",
        ctx: context,
        signal: hungUp.signal,
        batchIndex: 0,
        getRawInput: () => Promise.resolve(readInput(request.body)),
      });
      return await reply.type("application/json").send(JSON.stringify({ result: { data: serialize(data) } }));
    } catch (cause) {
      const error = getTRPCErrorFromUnknown(cause);
      logRefusal(error, PATH, context);
      const shape = getTRPCErrorShape({
        // oxlint-disable-next-line no-underscore-dangle -- where tRPC keeps it, and its own adapters take it from
        config: appRouter._def._config,
        error,
        type: "mutation",
        path: PATH,
        input: undefined,
        ctx: context,
      });
      return await reply
        .code(getHTTPStatusCodeFromError(error))
        .type("application/json")
        .send(JSON.stringify({ error: serialize(shape) }));
    }
  });
  done();
}

/** @throws TRPCError PARSE_ERROR */
function readInput(body: unknown): unknown {
  try {
    return deserialize(JSON.parse(String(body)), { inPlace: true });
  } catch (cause) {
    throw new TRPCError({ code: "PARSE_ERROR", cause });
  }
}
