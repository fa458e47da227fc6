import type { EventKind, NewEvent } from "../db/queries/events.ts";
import type { Manager } from "./rights.ts";

/**
 * The event of something that a person did: who, and why if they said so. Append it in the transaction of the act, so that
 * neither is there without the other.
 */
export function actEvent(
  manager: Manager,
  kind: EventKind,
  {
    reason,
    detail,
    ...facts
  }: Pick<NewEvent, "nodeId" | "assetIds" | "detail"> & { readonly reason?: string | undefined },
): NewEvent {
  const why = reason === undefined ? {} : { reason };
  return { kind, actor: manager.kind, ...facts, detail: { ...detail, by: manager.who, ...why } };
}
