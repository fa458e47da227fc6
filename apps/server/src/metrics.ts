/**
 * Numbers about the service, in the text format of Prometheus. Counters are bumped where something ends, once a call or a
 * group; gauges are read when they are asked for. No label takes a value that a stranger can choose.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { ErrorCode } from "@dispatcher/core";

/** Seconds. From an answer out of memory to the patience of a caller. */
const DURATIONS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const GROUP_SIZES = [1, 2, 5, 10, 20, 50, 100, 200];

/** What one group of syncs came to, as far as it is counted. */
export type GroupCount = {
  readonly syncs: number;
  readonly ms: number;
  readonly grants: number;
  readonly refusals: ReadonlyMap<string, number>;
  readonly reports: ReadonlyMap<string, number>;
  readonly failures: ReadonlyMap<string, number>;
};

export type GaugeValue = { readonly value: number; readonly labels?: Readonly<Record<string, string>> };

type GaugeFacts = { readonly help: string; readonly labels?: readonly string[] };

const GAUGES = {
  dispatcher_database_up: { help: "1 when PostgreSQL answered this scrape in time." },
  dispatcher_database_sessions: { help: "Connections for transactions, by what they do.", labels: ["state"] },
  dispatcher_sweep_age_seconds: { help: "Since any server last swept: reclaimed leases and judged silent nodes." },
  dispatcher_nodes: { help: "Nodes by their life.", labels: ["life"] },
  dispatcher_ledger_bytes: { help: "Ledgers of all nodes that are not lost, added up.", labels: ["part"] },
  dispatcher_copies: { help: "Copies on nodes that are not lost." },
  dispatcher_leases_open: { help: "Leases that are granted or running." },
  dispatcher_origins: { help: "Origins by what they take now.", labels: ["state"] },
  dispatcher_origin_fetches: { help: "Slots in use at all origins together." },
  dispatcher_assets_estimated: { help: "Assets in the catalog, as PostgreSQL's statistics have it." },
  dispatcher_view_candidates: { help: "Assets that this server has in memory to give out." },
  dispatcher_view_queues: { help: "Queues that this server knows: an origin and a size class each." },
  dispatcher_view_age_seconds: {
    help: "Since this server heard of what others changed; grows while nobody wants work.",
  },
  dispatcher_requests_in_progress: { help: "Requests under way in this server." },
  dispatcher_connections: { help: "Open connections of callers." },
  dispatcher_lateness_seconds: { help: "How late the process comes to what is due, by the half second." },
} as const satisfies Readonly<Record<string, GaugeFacts>>;
type GaugeName = keyof typeof GAUGES;
/** Read at each scrape. Absent: unknown for now, such as what a database that is away knows. */
export type GaugeValues = Partial<Readonly<Record<GaugeName, readonly GaugeValue[]>>>;

export type Metrics = {
  /** A procedure or route was answered: `OK`, or the code it was refused with. */
  callEnded(call: string, code: ErrorCode | "OK", seconds: number): void;
  groupSynced(count: GroupCount): void;
  /** An allocation round over what is in memory. */
  roundEnded(ms: number): void;
  leasesExpired(count: number): void;
  nodesMoved(count: number): void;
  /** Process and garbage collection as well, by the names that dashboards know. Once a process. */
  collectProcess(): void;
  readonly contentType: string;
  /** Everything, as text; `gauges` are those of this moment. */
  render(gauges: GaugeValues): Promise<string>;
};

function addAll(to: Counter, label: string, counts: ReadonlyMap<string, number>): void {
  for (const [value, count] of counts) to.inc({ [label]: value }, count);
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <const Label extends string>(name: string, help: string, ...labelNames: readonly Label[]) =>
    new Counter({ name, help, labelNames: [...labelNames], registers });
  const durations = <const Label extends string>(name: string, help: string, ...labelNames: readonly Label[]) =>
    new Histogram({ name, help, labelNames: [...labelNames], buckets: DURATIONS_S, registers });

  const calls = counter("dispatcher_calls_total", "Calls of procedures and routes that were answered.", "call", "code");
  const callSeconds = durations("dispatcher_call_duration_seconds", "From request line to answer.", "call");
  const groupSeconds = durations("dispatcher_sync_group_duration_seconds", "A group of syncs, committed.");
  const groupSizes = new Histogram({
    name: "dispatcher_sync_group_size",
    help: "Syncs that were committed together.",
    buckets: GROUP_SIZES,
    registers,
  });
  const roundSeconds = durations("dispatcher_round_duration_seconds", "An allocation round, in memory.");
  const grants = counter("dispatcher_grants_total", "Grants answered to nodes.");
  const refusals = counter("dispatcher_refusals_total", "Syncs that got less than they wanted, by why.", "reason");
  const reports = counter("dispatcher_reports_total", "Reports of nodes, by how they were answered.", "outcome");
  const failures = counter("dispatcher_failures_total", "Copies that could not be made, as nodes report.", "code");
  const expired = counter("dispatcher_leases_expired_total", "Leases that this server reclaimed.");
  const moved = counter("dispatcher_nodes_moved_total", "Nodes whose life this server changed for their silence.");
  const gauges = Object.entries(GAUGES).map(([name, facts]) => {
    const { help, labels = [] } = facts as GaugeFacts;
    const gauge = new Gauge({ name, help, labelNames: [...labels], registers });
    return { name: name as GaugeName, gauge, hasLabels: labels.length > 0 };
  });

  return {
    callEnded(call, code, seconds) {
      calls.inc({ call, code });
      callSeconds.observe({ call }, seconds);
    },
    groupSynced(count) {
      groupSizes.observe(count.syncs);
      groupSeconds.observe(count.ms / 1000);
      grants.inc(count.grants);
      addAll(refusals, "reason", count.refusals);
      addAll(reports, "outcome", count.reports);
      addAll(failures, "code", count.failures);
    },
    roundEnded: (ms) => roundSeconds.observe(ms / 1000),
    leasesExpired: (count) => expired.inc(count),
    nodesMoved: (count) => moved.inc(count),
    collectProcess: () => collectDefaultMetrics({ register: registry }),
    contentType: registry.contentType,
    render(values) {
      for (const { name, gauge, hasLabels } of gauges) {
        gauge.reset();
        const known = values[name];
        // Without labels it would say 0 where nothing is known.
        if (known === undefined && !hasLabels) gauge.remove();
        for (const { value, labels } of known ?? []) gauge.set(labels ?? {}, value);
      }
      return registry.metrics();
    },
  };
}
