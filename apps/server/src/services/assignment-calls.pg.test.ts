import { expect, test } from "vitest";
import { failed, finished, open, startBalanced } from "../../test/support/test-dispatcher.ts";
import type { TestDispatcher, TestNode } from "../../test/support/test-dispatcher.ts";
import { expireLeases } from "./reclaim-leases.ts";
import { ADMIN_COMMAND } from "./authenticate.ts";

/** A node's finer calls. */
function callsOf({ services }: TestDispatcher, { nodeId }: TestNode) {
  const caller = { nodeId, network: null };
  return {
    claim: (wants: number, known: readonly string[] = []) =>
      services.claimAssignments(caller, { wants, known: known as never, freeBytes: 1e9 }),
    renew: (report: ReturnType<typeof open>) => services.renewAssignment(caller, report),
    complete: (report: ReturnType<typeof finished>) => services.reportAssignment(caller, { finished: report }),
    fail: (report: ReturnType<typeof failed>) => services.reportAssignment(caller, { failed: report }),
    release: (assignmentId: never, term: number) =>
      services.reportAssignment(caller, { released: { assignmentId, term, reason: "test" } }),
  };
}

test("work is claimed, renewed and ended one call at a time, and leases that are not named stay as they are", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(5);
  const ada = await dispatcher.join("ada");
  const calls = callsOf(dispatcher, ada);
  const { grants } = await calls.claim(2);
  const [first, second] = grants;
  if (first === undefined || second === undefined) throw new Error("Two grants were expected.");
  const known = [first.assignmentId, second.assignmentId];
  // The reply that brought the second one was lost.
  expect((await calls.claim(1, [first.assignmentId])).grants.map((grant) => grant.assignmentId)).toContain(
    second.assignmentId,
  );
  expect((await calls.claim(1, known)).refusal).toMatchObject({ reason: "QUOTA" });
  expect(await calls.renew(open(first, 40))).toMatchObject({ assignmentId: first.assignmentId, term: first.term });
  expect(await dispatcher.services.getNode(ada.nodeId)).toMatchObject({ openLeases: 2, reservedBytes: 200 });

  expect(await calls.complete(finished(first))).toEqual({ outcome: "accepted" });
  expect(await calls.complete(finished(first))).toEqual({ outcome: "repeated" });
  expect(await calls.release(second.assignmentId as never, second.term)).toEqual({ outcome: "accepted" });
  expect(await calls.release(second.assignmentId as never, second.term)).toEqual({ outcome: "repeated" });
  expect(await dispatcher.services.getNode(ada.nodeId)).toMatchObject({ openLeases: 0, copies: 1, heldBytes: 100 });
});

test("what a sync rejects is refused with the same code", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(2);
  const [ada, ben] = [await dispatcher.join("ada"), await dispatcher.join("ben")];
  const calls = callsOf(dispatcher, ada);
  const [grant, other] = (await calls.claim(2)).grants;
  if (grant === undefined || other === undefined) throw new Error("Two grants were expected.");
  const stale = { ...finished(grant), term: grant.term + 1 };
  await expect(calls.complete(stale)).rejects.toMatchObject({ code: "LEASE_TERM_STALE" });
  await expect(calls.complete(finished(grant, { sizeBytes: 99 }))).rejects.toMatchObject({ code: "SIZE_MISMATCH" });
  await expect(calls.complete(finished(grant))).rejects.toMatchObject({ code: "LEASE_ENDED" });
  await expect(calls.renew(open(grant, 50))).rejects.toMatchObject({
    code: "LEASE_ENDED",
    details: { isPaused: false },
  });
  const error: unknown = await callsOf(dispatcher, ben)
    .complete(finished(other))
    .catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: "ASSIGNMENT_UNKNOWN" });
  // The advice stands in it once.
  expect((error as Error).message.match(/Drop it/g)).toHaveLength(1);
  expect(await calls.fail(failed(other, "STALLED"))).toEqual({ outcome: "accepted" });
  expect(await dispatcher.services.getNode(ada.nodeId)).toMatchObject({ openLeases: 0, reservedBytes: 0 });
});

test("a lease that ran out is granted anew under a higher term, or is paused while there is no slot", async () => {
  const dispatcher = await startBalanced();
  await dispatcher.addAssets(1);
  const ada = await dispatcher.join("ada");
  const calls = callsOf(dispatcher, ada);
  const [grant] = (await calls.claim(1)).grants;
  if (grant === undefined) throw new Error("One grant was expected.");
  await dispatcher.endLeases();
  expect(await expireLeases(dispatcher.dependencies, 10)).toBe(1);
  const act = { host: "origin.example:443" };
  await dispatcher.services.pauseOrigin(act, { paused: true, actor: ADMIN_COMMAND });
  await expect(calls.renew(open(grant, 50))).rejects.toMatchObject({
    code: "LEASE_ENDED",
    details: { isPaused: true },
  });
  await dispatcher.services.pauseOrigin(act, { paused: false, actor: ADMIN_COMMAND });
  const lease = await calls.renew(open(grant, 50));
  expect(lease.term).toBeGreaterThan(grant.term);
  expect(await calls.complete(finished({ ...grant, term: lease.term }))).toEqual({ outcome: "accepted" });
});
