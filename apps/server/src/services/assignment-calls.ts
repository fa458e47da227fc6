/**
 * The finer calls of clients that do not sync: each is a sync that says this one thing, with all else as it is on record. So
 * they are written in groups with all other syncs, and judged and answered by the same rules.
 */
import { DispatcherError, isErrorCode } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import type { z } from "zod";
import { readNodeAsSaid } from "../db/queries/node-admin.ts";
import type {
  AssignmentClaimInput,
  AssignmentClaimOutput,
  AssignmentCompleteInput,
  AssignmentFailInput,
  AssignmentReleaseInput,
  AssignmentRenewInput,
  AssignmentRenewOutput,
  AssignmentReportOutput,
} from "../wire/assignment.ts";
import type { Dependencies } from "./dependencies.ts";
import type { Input, SyncCall } from "./sync/desk.ts";
import type { SyncReply } from "./sync/sync-nodes.ts";

/** Who calls, and the door through which all syncs go. */
export type Caller = {
  readonly nodeId: NodeId;
  readonly network: string | null;
  readonly syncNode: (call: SyncCall) => Promise<SyncReply>;
};

/** A sync of the caller that says nothing but `said`. @throws DispatcherError NODE_RETIRED, KEY_INVALID, DATABASE_UNAVAILABLE */
async function sync(
  { db }: Dependencies,
  { nodeId, network, syncNode }: Caller,
  say: (onRecord: Input) => Partial<Input>,
): Promise<SyncReply> {
  const node = await readNodeAsSaid(db.sql, nodeId);
  if (node === null) throw new DispatcherError("KEY_INVALID", "This node is not known here any more.");
  const onRecord: Input = { ...node, wants: 0, finished: [], failed: [], released: [] };
  return syncNode({ nodeId, network, input: { ...onRecord, ...say(onRecord) } });
}

/** Ask for work. @throws DispatcherError NODE_RETIRED, KEY_INVALID */
export async function claimAssignments(
  dependencies: Dependencies,
  caller: Caller,
  { wants, known, freeBytes }: z.output<typeof AssignmentClaimInput>,
): Promise<z.output<typeof AssignmentClaimOutput>> {
  const isKnown = new Set(known);
  const { grants, refusal } = await sync(dependencies, caller, ({ open }) => ({
    wants,
    freeBytes,
    open: open.filter(({ assignmentId }) => isKnown.has(assignmentId)),
  }));
  return { grants, refusal };
}

/**
 * Tell how far a copy has come; answers the lease as it is then. Its term is a higher one when it had ended and was granted
 * anew. @throws DispatcherError LEASE_ENDED, NODE_RETIRED, KEY_INVALID
 */
export async function renewAssignment(
  dependencies: Dependencies,
  caller: Caller,
  report: z.output<typeof AssignmentRenewInput>,
): Promise<z.output<typeof AssignmentRenewOutput>> {
  const { assignmentId } = report;
  const reply = await sync(dependencies, caller, ({ open }) => ({
    open: [...open.filter((one) => one.assignmentId !== assignmentId), report],
  }));
  const lease = reply.leases.find((one) => one.assignmentId === assignmentId);
  if (lease !== undefined) return lease;
  const cancel = reply.cancels.find((one) => one.assignmentId === assignmentId);
  throw new DispatcherError(
    "LEASE_ENDED",
    cancel?.reason ??
      "The lease is over, and there is no slot, room or quota for a new one now; its bytes may be kept.",
    { details: { isPaused: cancel === undefined } },
  );
}

type Report =
  | { readonly finished: z.output<typeof AssignmentCompleteInput> }
  | { readonly failed: z.output<typeof AssignmentFailInput> }
  | { readonly released: z.output<typeof AssignmentReleaseInput> };

/**
 * Tell how an assignment has ended. Telling it again is answered `repeated`.
 * @throws DispatcherError what a sync rejects the report with, as SIZE_MISMATCH or LEASE_TERM_STALE; NODE_RETIRED, KEY_INVALID
 */
export async function reportAssignment(
  dependencies: Dependencies,
  caller: Caller,
  report: Report,
): Promise<z.output<typeof AssignmentReportOutput>> {
  const { assignmentId } =
    "finished" in report ? report.finished : "failed" in report ? report.failed : report.released;
  const reply = await sync(dependencies, caller, ({ open }) => ({
    open: open.filter((one) => one.assignmentId !== assignmentId),
    ...("finished" in report ? { finished: [report.finished] } : {}),
    ...("failed" in report ? { failed: [report.failed] } : {}),
    ...("released" in report ? { released: [report.released] } : {}),
  }));
  const [answer] = reply.reports;
  if (answer === undefined) throw new Error(`The report on assignment ${assignmentId} was not answered.`);
  if (answer.outcome !== "rejected") return { outcome: answer.outcome };
  const { code, message = "" } = answer;
  if (!isErrorCode(code)) throw new Error(`A report was rejected with "${code}", which is no code.`);
  // The advice is added to it again.
  const advice = new DispatcherError(code, "").message;
  throw new DispatcherError(code, message.endsWith(advice) ? message.slice(0, -advice.length) : message);
}
