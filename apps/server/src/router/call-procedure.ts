import { callTRPCProcedure, getTRPCErrorFromUnknown } from "@trpc/server";
import type { TRPCError } from "@trpc/server";
import type { FastifyReply, FastifyRequest } from "fastify";
import { appRouter } from "./index.ts";
import type { Context } from "./trpc.ts";

/** Called for each failure. */
export type LogRefusal = (
  error: TRPCError,
  about: { readonly request: FastifyRequest; readonly path: string | undefined; readonly context: Context | undefined },
) => void;

export type CallTools = {
  readonly createContext: (request: { readonly req: FastifyRequest }) => Promise<Context>;
  readonly logRefusal: LogRefusal;
};

export type Outcome = { readonly data: unknown } | { readonly error: TRPCError; readonly context: Context | undefined };

/** Call a procedure for a request past tRPC's adapter. It is told when its caller hangs up. */
export async function callProcedure(
  request: FastifyRequest,
  reply: FastifyReply,
  {
    path,
    type,
    readInput,
    createContext,
    logRefusal,
  }: CallTools & {
    readonly path: string;
    readonly type: "query" | "mutation";
    readonly readInput: () => unknown;
  },
): Promise<Outcome> {
  let context: Context | undefined;
  const hungUp = new AbortController();
  // The request's own "close" comes when its body is read, which is before anything is answered.
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) hungUp.abort();
  });
  try {
    context = await createContext({ req: request });
    const data: unknown = await callTRPCProcedure({
      router: appRouter,
      path,
      type,
      ctx: context,
      signal: hungUp.signal,
      batchIndex: 0,
      getRawInput: async () => readInput(),
    });
    return { data };
  } catch (cause) {
    const error = getTRPCErrorFromUnknown(cause);
    logRefusal(error, { request, path, context });
    return { error, context };
  }
}
