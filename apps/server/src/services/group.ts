/**
 * Calls that arrive while others are under way are answered together: a hundred nodes that speak at once cost one
 * transaction and not a hundred. Nobody waits long for company: a call that finds a free lane goes with those that came in
 * the same turn of the event loop, and so a group is as large as the database is busy.
 */
import { DispatcherError } from "@dispatcher/core";

export type Tell<Answer> = (place: number, answer: Answer) => void;

export type GroupOptions<Call, Answer> = {
  /** Two calls of one key are never in one group, and the later one waits for the earlier. */
  readonly keyOf: (call: Call) => string;
  /** Too small: one transaction a call. Too large: each answer waits for hundreds of others. */
  readonly sizeMax: number;
  /** Groups under way at once: while the database works for one, the process works for the next. More only contend. */
  readonly lanes: number;
  /**
   * One answer or error for each call, in their order. When it rejects, each call is tried by itself. Whoever need not wait for
   * the others of the group may be told at once, by the place of its call.
   */
  readonly run: (calls: readonly Call[], tell: Tell<Answer>) => Promise<readonly (Answer | Error)[]>;
};

type Waiting<Call, Answer> = {
  readonly call: Call;
  readonly key: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
};

/** A function that answers one call, as part of a group. */
export function createGroup<Call, Answer>({
  keyOf,
  sizeMax,
  lanes,
  run,
}: GroupOptions<Call, Answer>): (call: Call) => Promise<Answer> {
  let waiting: Waiting<Call, Answer>[] = [];
  const busyKeys = new Set<string>();
  let busyLanes = 0;
  let isFilling = false;

  const settle = (members: readonly Waiting<Call, Answer>[], answers: readonly (Answer | Error)[]): void => {
    members.forEach(({ resolve, reject }, place) => {
      const answer = answers[place];
      if (answer instanceof Error) reject(answer);
      else if (answer === undefined) reject(new Error("A group left a call without an answer."));
      else resolve(answer);
    });
  };

  /** A fault of one call must not be a fault of its neighbours; the database's own is everybody's. */
  const answer = async (members: readonly Waiting<Call, Answer>[]): Promise<void> => {
    const told = new Set<Waiting<Call, Answer>>();
    const tell = (place: number, answered: Answer): void => {
      const member = members[place];
      if (member === undefined) return;
      told.add(member);
      member.resolve(answered);
    };
    try {
      settle(
        members,
        await run(
          members.map(({ call }) => call),
          tell,
        ),
      );
    } catch (error) {
      const isEverybodys = error instanceof DispatcherError && error.code === "DATABASE_UNAVAILABLE";
      if (members.length === 1 || isEverybodys) {
        for (const { reject } of members) reject(error);
        return;
      }
      for (const member of members) if (!told.has(member)) await answer([member]);
    }
  };

  const fillLanes = (): void => {
    while (busyLanes < lanes) {
      const members: Waiting<Call, Answer>[] = [];
      const left: Waiting<Call, Answer>[] = [];
      // All at once would leave the other lanes without work until all are answered, and then again.
      const share = Math.min(sizeMax, Math.ceil(waiting.length / (lanes - busyLanes)));
      for (const one of waiting) {
        if (members.length < share && !busyKeys.has(one.key)) {
          busyKeys.add(one.key);
          members.push(one);
        } else {
          left.push(one);
        }
      }
      if (members.length === 0) return;
      waiting = left;
      busyLanes += 1;
      void answer(members).finally(() => {
        busyLanes -= 1;
        for (const { key } of members) busyKeys.delete(key);
        fillSoon();
      });
    }
  };

  /** Once all who were answered, or heard, in this turn of the event loop have had their say. */
  const fillSoon = (): void => {
    if (isFilling) return;
    isFilling = true;
    setImmediate(() => {
      isFilling = false;
      fillLanes();
    });
  };

  return (call) =>
    new Promise((resolve, reject) => {
      waiting.push({ call, key: keyOf(call), resolve, reject });
      if (busyLanes < lanes) fillSoon();
    });
}
