/**
 * Traces for whoever collects them, by OpenTelemetry: a span for each request, each group of syncs and each round. Spans are
 * made when the work is over, from times that are known then; so nothing has to be carried through it, and without a
 * collector there is nothing to carry. The libraries are loaded only when one is named.
 */
import type { ServerConfig } from "./config.ts";
import type { Log } from "./log.ts";
import type { GroupCount, Metrics } from "./metrics.ts";
import { VERSION } from "./version.ts";

export type EndedRequest = {
  /** A procedure, or a method and its route. */
  readonly name: string;
  readonly method: string;
  readonly status: number;
  readonly code: string;
  readonly requestId: string;
  /** The caller's own span, as W3C Trace Context writes it. */
  readonly traceparent: string | undefined;
  readonly ms: number;
};

export type Tracing = {
  requestEnded(request: EndedRequest): void;
  groupEnded(group: GroupCount): void;
  roundEnded(ms: number): void;
  /** Send what is left, for a few seconds at most. */
  close(): Promise<void>;
};

const SERVICE = "dispatcher-server";
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;
/** A collector that is away is said so at most this often. */
const LOG_PAUSE_MS = 60_000;
const CLOSE_WITHIN_MS = 3_000;

/** What the libraries say of themselves that is no error. */
function quiet(): void {}

/** Null unless a collector is named: nothing is loaded then. */
export async function openTracing(config: ServerConfig, log: Log): Promise<Tracing | null> {
  const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (endpoint === undefined) return null;
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/resources"),
  ]);
  let loggedAtMs = -Infinity;
  const told = (message: string): void => {
    if (performance.now() - loggedAtMs < LOG_PAUSE_MS) return;
    loggedAtMs = performance.now();
    log.warn({ event: "traces.unsent" }, `traces could not be sent: ${message.slice(0, 500)}`);
  };
  api.diag.setLogger(
    { error: told, warn: quiet, info: quiet, debug: quiet, verbose: quiet },
    { logLevel: api.DiagLogLevel.ERROR, suppressOverrideMessage: true },
  );

  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, "")}/v1/traces` });
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ "service.name": SERVICE, "service.version": VERSION }),
    // A caller that has decided already is followed.
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(config.OTEL_TRACES_SAMPLER_ARG) }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter })],
  });
  const tracer = provider.getTracer(SERVICE, VERSION);

  const parentOf = (traceparent: string | undefined): ReturnType<typeof api.trace.setSpanContext> => {
    const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? "") ?? [];
    if (traceId === undefined || spanId === undefined || flags === undefined) return api.ROOT_CONTEXT;
    const traceFlags = Number.parseInt(flags, 16) & api.TraceFlags.SAMPLED;
    return api.trace.setSpanContext(api.ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
  };
  const ended = (name: string, ms: number, attributes: Readonly<Record<string, number>>): void => {
    const endTime = Date.now();
    tracer.startSpan(name, { startTime: endTime - ms, attributes: { ...attributes } }, api.ROOT_CONTEXT).end(endTime);
  };
  return {
    requestEnded({ name, method, status, code, requestId, traceparent, ms }) {
      const endTime = Date.now();
      const attributes = {
        "http.request.method": method,
        "http.response.status_code": status,
        "dispatcher.code": code,
        "dispatcher.request_id": requestId,
      };
      const options = { kind: api.SpanKind.SERVER, startTime: endTime - ms, attributes };
      const span = tracer.startSpan(name, options, parentOf(traceparent));
      if (status >= 500) span.setStatus({ code: api.SpanStatusCode.ERROR, message: code });
      span.end(endTime);
    },
    groupEnded: ({ syncs, grants, ms }) =>
      ended("sync group", ms, { "dispatcher.syncs": syncs, "dispatcher.grants": grants }),
    roundEnded: (ms) => ended("allocation round", ms, {}),
    async close() {
      const patience = new AbortController();
      const enough = new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_WITHIN_MS);
        patience.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
      });
      const sent = provider.shutdown().catch((fault: unknown) => told(String(fault)));
      await Promise.race([sent, enough]);
      patience.abort();
      api.diag.disable();
    },
  };
}

/** What is counted and takes its time is traced as well. */
export function withTraces(metrics: Metrics, tracing: Tracing): Metrics {
  return {
    ...metrics,
    groupSynced(count) {
      metrics.groupSynced(count);
      tracing.groupEnded(count);
    },
    roundEnded(ms) {
      metrics.roundEnded(ms);
      tracing.roundEnded(ms);
    },
  };
}
