import type { GroupCount } from "../../metrics.ts";
import type { SyncCall } from "./desk.ts";
import type { SyncReply } from "./sync-nodes.ts";

/** What a group of syncs comes to in the metrics. All labels are words of ours: the input was checked against them. */
export function countGroup(
  calls: readonly SyncCall[],
  replies: readonly (SyncReply | Error)[],
  ms: number,
): GroupCount {
  const answered = replies.filter((reply): reply is SyncReply => !(reply instanceof Error));
  return {
    syncs: calls.length,
    ms,
    grants: answered.reduce((sum, { grants }) => sum + grants.length, 0),
    refusals: countBy(answered.flatMap(({ refusal }) => (refusal === null ? [] : [refusal.reason]))),
    reports: countBy(answered.flatMap(({ reports }) => reports.map(({ outcome }) => outcome))),
    failures: countBy(calls.flatMap(({ input }) => input.failed.map(({ code }) => code))),
  };
}

function countBy(words: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}
