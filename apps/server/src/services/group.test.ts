import { setImmediate as turn } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import { expect, test } from "vitest";
import { createGroup } from "./group.ts";

type Call = { readonly key: string; readonly number: number };

/** Groups as they were formed, each of which goes on when it is told. */
function aGroup(options: { readonly sizeMax?: number; readonly lanes?: number; readonly faulty?: number } = {}) {
  const groups: { readonly numbers: readonly number[]; readonly goOn: () => void }[] = [];
  const call = createGroup<Call, number>({
    keyOf: ({ key }) => key,
    sizeMax: options.sizeMax ?? 10,
    lanes: options.lanes ?? 1,
    run: async (calls) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      groups.push({ numbers: calls.map(({ number }) => number), goOn: resolve });
      await promise;
      if (calls.some(({ number }) => number === options.faulty)) throw new Error("One of them is a fault.");
      return calls.map(({ number }) => (number < 0 ? new Error(`no to ${number}`) : 10 * number));
    },
  });
  return { groups, call: (number: number, key = String(number)) => call({ key, number }) };
}

/** The next group that is formed. */
async function nextOf({ groups }: ReturnType<typeof aGroup>, place: number) {
  for (let turns = 0; turns < 100; turns += 1) {
    const group = groups[place];
    if (group !== undefined) return group;
    await turn();
  }
  throw new Error(`Group ${place} was never formed.`);
}

test("calls of one turn of the event loop go together, and so do those that come meanwhile", async () => {
  const group = aGroup();
  const first = Promise.all([1, 2].map((number) => group.call(number)));
  const { numbers, goOn } = await nextOf(group, 0);
  const second = Promise.all([3, 4, 5].map((number) => group.call(number)));
  goOn();
  expect([numbers, (await nextOf(group, 1)).numbers]).toEqual([
    [1, 2],
    [3, 4, 5],
  ]);
  (await nextOf(group, 1)).goOn();
  expect([await first, await second]).toEqual([
    [10, 20],
    [30, 40, 50],
  ]);
});

test("no group is larger than told, and lanes go side by side and share what there is", async () => {
  const group = aGroup({ sizeMax: 3, lanes: 2 });
  const answers = Promise.all([1, 2, 3, 4].map((number) => group.call(number)));
  expect([(await nextOf(group, 0)).numbers, (await nextOf(group, 1)).numbers]).toEqual([
    [1, 2],
    [3, 4],
  ]);
  const more = Promise.all([5, 6, 7, 8].map((number) => group.call(number)));
  (await nextOf(group, 1)).goOn();
  expect((await nextOf(group, 2)).numbers).toEqual([5, 6, 7]);
  for (const place of [0, 2, 3]) (await nextOf(group, place)).goOn();
  expect([...(await answers), ...(await more)]).toEqual([10, 20, 30, 40, 50, 60, 70, 80]);
});

test("calls of one key are answered one after the other, and hold up nobody else", async () => {
  const group = aGroup({ lanes: 2 });
  const answers = Promise.all([group.call(1, "a"), group.call(2, "a"), group.call(3, "b")]);
  expect((await nextOf(group, 0)).numbers).toEqual([1, 3]);
  (await nextOf(group, 0)).goOn();
  expect((await nextOf(group, 1)).numbers).toEqual([2]);
  (await nextOf(group, 1)).goOn();
  expect(await answers).toEqual([10, 20, 30]);
});

test("each call has its own answer or error", async () => {
  const group = aGroup();
  const settled = Promise.allSettled([1, -2, 3].map((number) => group.call(number)));
  (await nextOf(group, 0)).goOn();
  expect((await settled).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});

test("a call that is a fault fails alone: the others are tried again by themselves", async () => {
  const group = aGroup({ faulty: 3 });
  const settled = Promise.allSettled([1, 2, 3, 4].map((number) => group.call(number)));
  for (const place of [0, 1, 2, 3, 4]) (await nextOf(group, place)).goOn();
  expect((await settled).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
});

test("a database that is away is everybody's fault, and is not asked again for each of them", async () => {
  let asked = 0;
  const call = createGroup<Call, number>({
    keyOf: ({ key }) => key,
    sizeMax: 10,
    lanes: 1,
    run: async () => {
      asked += 1;
      await Promise.resolve();
      throw new DispatcherError("DATABASE_UNAVAILABLE", "It is away.");
    },
  });
  const settled = await Promise.allSettled([1, 2, 3].map((number) => call({ key: String(number), number })));
  expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(asked).toBe(1);
});

test("whoever need not wait for the others is told at once, and is not tried again when they fail", async () => {
  const failing = Promise.withResolvers<void>();
  const asked: (readonly number[])[] = [];
  const call = createGroup<number, string>({
    keyOf: String,
    sizeMax: 10,
    lanes: 1,
    run: async (numbers, tell) => {
      asked.push(numbers);
      if (numbers.length === 1) return ["by itself"];
      tell(0, "at once");
      await failing.promise;
      throw new Error("One of them is a fault.");
    },
  });
  const [soon, late] = [call(1), call(2)];
  expect(await soon).toBe("at once");
  failing.resolve();
  expect(await late).toBe("by itself");
  expect(asked).toEqual([[1, 2], [2]]);
});
