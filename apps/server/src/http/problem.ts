/** Errors over REST: problem details (RFC 9457) with our code. */
import { DispatcherError } from "@dispatcher/core";
import type { ErrorDetails } from "@dispatcher/core";
import { getHTTPStatusCodeFromError } from "@trpc/server/http";
import { z } from "zod";
import { toTrpcError } from "../router/trpc.ts";

export const ProblemDetails = z.object({
  /** A page of this server that tells about the code. */
  type: z.string(),
  title: z.string(),
  status: z.int(),
  /** What happened and what to do, for people. */
  detail: z.string(),
  /** For programs; it never changes its meaning. */
  code: z.string(),
  /** Numbers and names that belong to it. */
  details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
});

export type Problem = z.output<typeof ProblemDetails> & { readonly details: ErrorDetails };

export const PROBLEM_TYPE = "application/problem+json";

/** The HTTP status that belongs to an error's code. */
export function statusOf(error: DispatcherError): number {
  return getHTTPStatusCodeFromError(toTrpcError(error));
}

export function problemOf(error: DispatcherError, status = statusOf(error)): Problem {
  const { code, message: detail, details } = error;
  const words = code.toLowerCase().replaceAll("_", " ");
  const title = words.charAt(0).toUpperCase() + words.slice(1);
  return { type: `/docs/errors.md#${code}`, title, status, detail, code, details };
}

/** What Fastify refused before a route saw it: a body that is no JSON, too large, of another type. */
export function unreadable({ message, statusCode }: Error & { readonly statusCode?: number }): DispatcherError {
  const detail =
    statusCode === 415
      ? "The body has to be JSON, sent with the header Content-Type: application/json."
      : `The request could not be read: ${message.replace(/\.$/, "")}.`;
  return new DispatcherError("INPUT_INVALID", detail);
}
