/** What a node has been told and has done, as its daemon would know it: leases, copies on its disk, reports not answered yet. */
import { FAILURE_CODES, holdingOf } from "@dispatcher/core";
import type { AssignmentId, FailureCode, InventoryEntry, NodeId } from "@dispatcher/core";
import { hashText } from "../../src/services/hash-text.ts";
import { isOpenState } from "./engine-model.ts";
import type { Grant, Lease, Model, SyncInput, SyncReply } from "./engine-model.ts";
import { SHA256 } from "./test-dispatcher.ts";

/** What a node makes of one of its leases in a sync. */
export type Act =
  | { readonly kind: "waits" | "finishes" | "finishes with other bytes" | "finishes with a byte too many" }
  | { readonly kind: "has more of" | "finds larger" | "releases" | "has forgotten" }
  | { readonly kind: "fails on"; readonly code: FailureCode };

/** What a node says beside that, and should not. */
export const EXTRAS = ["repeats an old report", "reports under another term", "reports on another's lease"] as const;
export type Extra = (typeof EXTRAS)[number];

export type Plan = {
  readonly wants: number;
  readonly freeBytes: number;
  /** Null: as before. */
  readonly offeredBytes: number | null;
  /** What becomes of its leases, in the order in which it got them; those for which there is none wait. */
  readonly acts: readonly Act[];
  readonly extra: Extra | null;
  readonly isReplyLost: boolean;
};

export function describePlan({ wants, freeBytes, offeredBytes, acts, extra, isReplyLost }: Plan): string {
  return [
    `wants ${wants}`,
    ...(freeBytes < 1e6 ? [`has ${freeBytes} bytes free`] : []),
    ...(offeredBytes === null ? [] : [`offers ${offeredBytes} bytes`]),
    ...acts.map((act, at) => `${act.kind} its lease ${at + 1}${act.kind === "fails on" ? ` (${act.code})` : ""}`),
    ...(extra === null ? [] : [extra]),
    ...(isReplyLost ? ["and does not hear the answer"] : []),
  ].join(", ");
}

type Known = { readonly grant: Grant; readonly term: number; readonly bytesDone: number; readonly wantBytes?: number };
type Reports = Pick<SyncInput, "finished" | "failed" | "released">;
type Report = { readonly [Kind in keyof Reports]?: Reports[Kind][number] | undefined };

const OTHER_SHA256 = "cd".repeat(32);
/** Of a file whose size is not declared; more than what is reserved for it. */
const FOUND_BYTES = 80;

export class EngineNode {
  readonly id: NodeId;
  readonly name: string;
  #offeredBytes: number;
  readonly #known = new Map<AssignmentId, Known>();
  readonly #disk = new Map<AssignmentId, InventoryEntry>();
  /** Told, and not answered: told again. */
  #outbox: Reports = { finished: [], failed: [], released: [] };
  #told: Reports = { finished: [], failed: [], released: [] };

  constructor(id: NodeId, name: string, offeredBytes: number) {
    this.id = id;
    this.name = name;
    this.#offeredBytes = offeredBytes;
  }

  /** Do what was planned with its leases, and say so. */
  speak({ wants, freeBytes, offeredBytes, acts, extra }: Plan, model: Model): SyncInput {
    this.#offeredBytes = offeredBytes ?? this.#offeredBytes;
    const open = [...this.#known].flatMap(([id, known], at) => this.#act(id, known, acts[at] ?? { kind: "waits" }));
    const { finished, failed, released } = this.#outbox;
    const beside = extra === null ? {} : this.#beside(extra, model);
    const holding = holdingOf(this.#disk.values(), hashText);
    return {
      agentVersion: "1.0.0",
      schemes: ["https"],
      marginBytes: 0,
      offeredBytes: this.#offeredBytes,
      freeBytes,
      wants,
      open,
      finished: [...finished, ...(beside.finished ?? [])],
      failed: [...failed, ...(beside.failed ?? [])],
      released: [...released, ...(beside.released ?? [])],
      holding,
    };
  }

  #act(id: AssignmentId, known: Known, act: Act): SyncInput["open"] {
    const { grant, term, bytesDone } = known;
    const { sizeBytes, digest, id: assetId } = grant.asset;
    const ref = { assignmentId: id, term };
    const finish = (content: { readonly sizeBytes: number; readonly sha256: string }): SyncInput["open"] => {
      this.#disk.set(id, { assetId, ...content });
      const sent = { digest: null, etag: null, lastModified: null, fetchMs: 0, fetchedBytes: content.sizeBytes };
      return this.#report(id, { finished: { ...ref, ...content, ...sent } });
    };
    const right = { sizeBytes: sizeBytes ?? FOUND_BYTES, sha256: digest?.hex ?? SHA256 };
    switch (act.kind) {
      case "finishes":
        return finish(right);
      case "finishes with other bytes":
        return finish({ ...right, sha256: OTHER_SHA256 });
      case "finishes with a byte too many":
        return finish({ ...right, sizeBytes: right.sizeBytes + 1 });
      case "fails on":
        return this.#report(id, { failed: { ...ref, code: act.code, message: "test" } });
      case "releases":
        return this.#report(id, { released: { ...ref, reason: "test" } });
      case "has forgotten":
        this.#known.delete(id);
        return [];
      case "waits":
        return [{ ...ref, state: bytesDone > 0 ? "running" : "waiting", bytesDone }];
      case "has more of":
      case "finds larger":
        break;
    }
    const wantBytes = act.kind === "finds larger" ? grant.reservedBytes + 40 : undefined;
    const more = { bytesDone: bytesDone + 20, ...(wantBytes === undefined ? {} : { wantBytes }) };
    this.#known.set(id, { ...known, ...more });
    return [{ ...ref, state: "running", ...more }];
  }

  /** It is done with a lease, and says so until it is answered. */
  #report(id: AssignmentId, report: Report): SyncInput["open"] {
    this.#known.delete(id);
    this.#outbox = joined(this.#outbox, report);
    this.#told = joined(this.#told, report);
    return [];
  }

  #beside(extra: Extra, model: Model): Partial<Reports> {
    if (extra === "repeats an old report") {
      const [finished, failed, released] = [this.#told.finished[0], this.#told.failed[0], this.#told.released[0]];
      return joined({ finished: [], failed: [], released: [] }, { finished, failed, released });
    }
    const isMeant = ({ nodeId, state }: Lease): boolean =>
      extra === "reports on another's lease" ? nodeId !== this.id : nodeId === this.id && isOpenState(state);
    const lease = [...model.leases.values()].find(isMeant);
    if (lease === undefined) return {};
    const ref = { assignmentId: lease.id, term: lease.term + (lease.nodeId === this.id ? 1 : 0) };
    const { sizeBytes, sha256 } = model.asset(lease.assetId);
    const content = { sizeBytes: sizeBytes ?? FOUND_BYTES, sha256: sha256 ?? SHA256 };
    const sent = { digest: null, etag: null, lastModified: null, fetchMs: 0, fetchedBytes: content.sizeBytes };
    return {
      finished: [{ ...ref, ...content, ...sent }],
      failed: [{ ...ref, code: FAILURE_CODES[0], message: "test" }],
      released: [{ ...ref, reason: "test" }],
    };
  }

  /** Hear the answer. */
  hear({ reports, leases, cancels, grants }: SyncReply): void {
    for (const [at, { assignmentId }] of this.#outbox.finished.entries()) {
      if (reports[at]?.outcome === "rejected") this.#disk.delete(assignmentId);
    }
    this.#outbox = { finished: [], failed: [], released: [] };
    for (const { assignmentId, term } of leases) {
      const known = this.#known.get(assignmentId);
      if (known !== undefined) this.#known.set(assignmentId, { ...known, term });
    }
    for (const { assignmentId } of cancels) this.#known.delete(assignmentId);
    for (const grant of grants) this.#known.set(grant.assignmentId, { grant, term: grant.term, bytesDone: 0 });
  }
}

function joined(reports: Reports, { finished, failed, released }: Report): Reports {
  return {
    finished: [...reports.finished, ...(finished === undefined ? [] : [finished])],
    failed: [...reports.failed, ...(failed === undefined ? [] : [failed])],
    released: [...reports.released, ...(released === undefined ? [] : [released])],
  };
}
