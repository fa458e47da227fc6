import { fifo } from "./fifo.ts";
import type { UrgencyPolicy } from "./policy.ts";
import { priorityFirst } from "./priority-first.ts";
import { rarestFirst } from "./rarest-first.ts";
import { rescueFirst } from "./rescue-first.ts";

/** The policies there are, by name, the default first. A policy of one's own is any other `UrgencyPolicy`. */
export const URGENCY_POLICIES: {
  readonly "rescue-first": UrgencyPolicy;
  readonly "priority-first": UrgencyPolicy;
  readonly "rarest-first": UrgencyPolicy;
  readonly fifo: UrgencyPolicy;
} = { "rescue-first": rescueFirst, "priority-first": priorityFirst, "rarest-first": rarestFirst, fifo };

export type UrgencyPolicyName = keyof typeof URGENCY_POLICIES;
