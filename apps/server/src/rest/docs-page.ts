/** The document, a page to try it on, and what the codes of errors mean: all from this server, nothing from elsewhere. */
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import { DispatcherError, ERROR_CODES } from "@dispatcher/core";
import type { FastifyInstance } from "fastify";
import type { OpenApiDocument } from "./openapi.ts";
import { statusOf } from "../http/problem.ts";

const DOCS_PATH = "/docs";

/** The page's styles are made by its scripts, and its icons are in them. */
const PAGE_POLICY = {
  "default-src": "'none'",
  "script-src": "'self'",
  "style-src": ["'self'", "'unsafe-inline'"],
  "img-src": ["'self'", "data:"],
  "font-src": "'self'",
  "connect-src": "'self'",
  "base-uri": "'none'",
  "form-action": "'none'",
  "frame-ancestors": "'none'",
};

export async function registerDocs(http: FastifyInstance, document: OpenApiDocument): Promise<void> {
  const json = JSON.stringify(document);
  http.get("/openapi.json", async (_request, reply) => reply.type("application/json").send(json));
  const errors = describeErrors();
  http.get(`${DOCS_PATH}/errors.md`, async (_request, reply) =>
    reply.type("text/markdown; charset=utf-8").send(errors),
  );
  await http.register(swagger, { mode: "static", specification: { document: document as never } });
  await http.register(swaggerUi, {
    routePrefix: DOCS_PATH,
    staticCSP: PAGE_POLICY,
    theme: { title: "Dispatcher" },
    // Of this page's own kind: the other asks a validator on the internet, and loads a logo.
    uiConfig: { layout: "BaseLayout", validatorUrl: null, tryItOutEnabled: true, docExpansion: "list" },
  });
}

/** Where the `type` of a problem points to. */
function describeErrors(): string {
  const sections = ERROR_CODES.map((code) => {
    const error = new DispatcherError(code, "");
    const retry = error.isRetryable ? "The same call may succeed later." : "Repeating the same call does not help.";
    return `## ${code}\n\nHTTP status ${statusOf(error)}. ${error.message.trim()} ${retry}\n`;
  });
  return `# Errors\n\nA code is a fact and never changes its meaning; programs look at the code alone.\n\n${sections.join("\n")}`;
}
