/** What `status` shows, of an agent that runs and of a home where none does. */
import { z } from "zod";
import { AssignmentJournal } from "./assignment-journal.ts";
import type { JournalRecord } from "./assignment-journal.ts";
import { formatByteSize } from "./byte-size.ts";
import { fileSize, freeBytesOf, partialPath } from "./home.ts";
import type { Home } from "./home.ts";
import { Inventory } from "./inventory.ts";
import { requireNodeFile } from "./node-file.ts";
import type { NodeFile } from "./node-file.ts";

const OpenWorkShape = z.object({
  assetId: z.string(),
  path: z.string(),
  isRunning: z.boolean(),
  bytesDone: z.number(),
  sizeBytes: z.number().nullable(),
});

export const AgentStatusShape = z.object({
  node: z.object({ id: z.string(), name: z.string(), operator: z.string(), url: z.string() }),
  home: z.string(),
  capacityBytes: z.number(),
  marginBytes: z.number(),
  freeBytes: z.number(),
  copies: z.number(),
  heldBytes: z.number(),
  /** Copies whose files are not there. */
  missing: z.number(),
  /** Copies that the dispatcher does not count. */
  notCounted: z.number(),
  open: z.array(OpenWorkShape),
  /** Ends that the dispatcher has not answered yet. */
  unreported: z.number(),
  /** Null when no agent runs. */
  live: z
    .object({
      pid: z.number(),
      startedAtMs: z.number(),
      isStopping: z.boolean(),
      lastSyncAtMs: z.number().nullable(),
      /** Why the last sync failed; null when it did not. */
      syncFailure: z.string().nullable(),
      /** Why there is no more work at the moment. */
      refusal: z.string().nullable(),
      /** From the dispatcher, for the volunteer. */
      message: z.string().nullable(),
    })
    .nullable(),
});
export type AgentStatus = z.output<typeof AgentStatusShape>;

type Facts = {
  readonly home: Home;
  readonly node: NodeFile;
  readonly capacityBytes: number;
  readonly marginBytes: number;
  readonly freeBytes: number;
  readonly records: readonly JournalRecord[];
  readonly inventory: Inventory;
  readonly bytesDoneOf: (record: JournalRecord) => number;
  readonly isRunning: (record: JournalRecord) => boolean;
  readonly live: AgentStatus["live"];
};

export function describeAgent(facts: Facts): AgentStatus {
  const { home, node, records, inventory, capacityBytes, marginBytes, freeBytes, live } = facts;
  const { nodeId: id, name, operator, url } = node;
  const open = records.filter((record) => record.state === "open");
  return {
    node: { id, name, operator, url },
    home: home.path,
    capacityBytes,
    marginBytes,
    freeBytes,
    copies: inventory.size,
    heldBytes: inventory.heldBytes,
    missing: inventory.missing,
    notCounted: inventory.notCounted,
    open: open.map((record) => ({
      assetId: record.grant.asset.id,
      path: record.grant.asset.path,
      isRunning: facts.isRunning(record),
      bytesDone: facts.bytesDoneOf(record),
      sizeBytes: record.grant.asset.sizeBytes ?? record.version?.sizeBytes ?? null,
    })),
    unreported: records.length - open.length,
    live,
  };
}

/** From the state folder, where no agent runs. @throws DispatcherError NOT_JOINED, HOME_UNUSABLE, STATE_UNREADABLE */
export async function readStatus(home: Home): Promise<AgentStatus> {
  const node = await requireNodeFile(home);
  const records = (await AssignmentJournal.open(home)).list();
  const inventory = await Inventory.open(home);
  await inventory.rescan();
  const bytesDone = new Map<JournalRecord, number>();
  for (const record of records) {
    bytesDone.set(record, (await fileSize(partialPath(home, record.grant.assignmentId))) ?? 0);
  }
  return describeAgent({
    home,
    node,
    capacityBytes: node.capacityBytes,
    marginBytes: node.marginBytes,
    freeBytes: await freeBytesOf(home),
    records,
    inventory,
    bytesDoneOf: (record) => bytesDone.get(record) ?? 0,
    isRunning: () => false,
    live: null,
  });
}

/** A few lines for people. */
export function formatStatus(status: AgentStatus, nowMs: number): string {
  const { node, live } = status;
  const lines = [
    ["Node", `${node.name} (${node.id}) of ${node.operator}, at ${node.url}`],
    ["Agent", live === null ? "not running; start it with: pnpm agent run" : describeLife(live, nowMs)],
    ["Copies", `${status.copies}, ${formatByteSize(status.heldBytes)}`],
    [
      "Missing",
      status.missing === 0 ? "" : `${status.missing}: files that are gone or cut short, which are made anew elsewhere`,
    ],
    [
      "Not counted",
      status.notCounted === 0 ? "" : `${status.notCounted}: the dispatcher has no use for them, the log says why`,
    ],
    [
      "Disk",
      `${formatByteSize(status.capacityBytes)} offered, ${formatByteSize(status.marginBytes)} of it kept free; ` +
        `the disk has ${formatByteSize(status.freeBytes)} free`,
    ],
    ...status.open.map((work) => [work.isRunning ? "Fetching" : "Waiting", `${work.path}  ${describeProgress(work)}`]),
    ["Unreported", status.unreported === 0 ? "" : `${status.unreported}, told with the next sync`],
    ["Last sync", live === null ? "" : describeSync(live, nowMs)],
    ["No more work", live?.refusal ?? ""],
    ["Message", live?.message ?? ""],
  ] as const;
  const shown = lines.filter(([, text]) => text !== "");
  return shown.map(([title = "", text = ""]) => `${title.padEnd(13)} ${oneLine(text)}`).join("\n");
}

type Live = NonNullable<AgentStatus["live"]>;

function describeLife({ pid, startedAtMs, isStopping }: Live, nowMs: number): string {
  return `${isStopping ? "stopping" : "running"} for ${describeSpan(nowMs - startedAtMs)} (process ${pid})`;
}

function describeSync({ lastSyncAtMs, syncFailure }: Live, nowMs: number): string {
  const last = lastSyncAtMs === null ? "none yet" : `${describeSpan(nowMs - lastSyncAtMs)} ago`;
  return syncFailure === null ? last : `${last}; the latest attempt failed: ${syncFailure}`;
}

function describeProgress({ bytesDone, sizeBytes }: AgentStatus["open"][number]): string {
  if (sizeBytes === null) return formatByteSize(bytesDone);
  const percent = sizeBytes === 0 ? 0 : Math.floor((100 * bytesDone) / sizeBytes);
  return `${formatByteSize(bytesDone)} of ${formatByteSize(sizeBytes)} (${percent} %)`;
}

/** `90 s`, `5 min`, `3 h`, `12 days`. */
export function describeSpan(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** Names come from catalogs and messages from a server: neither may move the cursor of the volunteer's terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, "?");
}
