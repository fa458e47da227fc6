import { expect, test } from "vitest";
import { EventQueue } from "./event-queue.ts";
import type { SimulatedEvent } from "./event-queue.ts";
import { Random } from "./random.ts";

test("events come by their time, and those of one moment in the order of their pushes", () => {
  const random = Random.fromSeed(1, "events");
  for (let round = 0; round < 50; round += 1) {
    const queue = new EventQueue();
    const pushed: SimulatedEvent[] = [];
    const popped: SimulatedEvent[] = [];
    for (let step = 0; step < 400; step += 1) {
      if (random.below(3) === 0) {
        const event = queue.pop();
        if (event !== undefined) popped.push(event);
      } else {
        // Never before what has come already, as in a simulation.
        const atMs = (popped.at(-1)?.atMs ?? 0) + random.below(20);
        const event = { atMs, kind: random.below(9), subject: step, stamp: random.below(5) };
        pushed.push(event);
        queue.push(event);
      }
    }
    for (let event = queue.pop(); event !== undefined; event = queue.pop()) popped.push(event);
    expect(popped).toEqual(pushed.toSorted((a, b) => a.atMs - b.atMs || a.subject - b.subject));
  }
});

test("it grows beyond its first arrays, and is empty in the end", () => {
  const queue = new EventQueue();
  for (let at = 5000; at > 0; at -= 1) queue.push({ atMs: at, kind: 1, subject: at, stamp: 0 });
  expect(queue.size).toBe(5000);
  const times = Array.from({ length: 5000 }, () => queue.pop()?.atMs);
  expect(times).toEqual(Array.from({ length: 5000 }, (_, at) => at + 1));
  expect(queue.pop()).toBeUndefined();
});
