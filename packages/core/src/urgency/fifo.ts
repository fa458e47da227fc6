import { urgencyPolicy, waitingShare } from "./policy.ts";
import type { UrgencyPolicy } from "./policy.ts";

/**
 * Asked for first, saved first, to its last copy, and nothing else counts: no wish, no threat. The measure against which
 * the other policies show what they are worth. Above 0 to 1, exact to the millisecond, and time never changes it.
 */
export const fifo: UrgencyPolicy = urgencyPolicy({
  name: "fifo",
  terms: [{ name: "waiting", pointsOf: ({ askedForAtMs }) => waitingShare(askedForAtMs, 1) }],
  afterCopies: (urgency) => urgency,
});
