import type { EventKind, NewEvent } from "../db/queries/events.ts";
import type { Actor } from "./authenticate.ts";

/** Who does something, and why if they said so; `server` for what follows by itself. */
export type Act =
  | { readonly actor: Actor | { readonly kind: "node"; readonly who: string }; readonly reason?: string | undefined }
  | "server";

/** The event of an act. Append it in the transaction of the act, so that neither is there without the other. */
export function eventOf(
  act: Act,
  kind: EventKind,
  { detail = {}, ...facts }: Pick<NewEvent, "nodeId" | "assetIds" | "detail">,
): NewEvent {
  if (act === "server") return { kind, actor: "server", ...facts, detail };
  const { actor, reason } = act;
  if (actor.kind === "anyone" || actor.kind === "viewer") throw new Error(`Who is ${actor.kind} cannot act.`);
  const why = reason === undefined ? {} : { reason };
  return { kind, actor: actor.kind, ...facts, detail: { ...detail, by: actor.who, ...why } };
}
