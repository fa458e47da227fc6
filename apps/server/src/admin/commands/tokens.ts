import type { Caller, RouterInputs } from "../caller.ts";
import { showRemaining, showTable } from "../show.ts";
import { readAll } from "./keys.ts";

type Shown = { readonly data: unknown; readonly text: string };

/** `admin tokens`: who may join, without the secrets. */
export async function showTokens(caller: Caller, { all }: { readonly all: boolean }): Promise<Shown> {
  const pages = await readAll((after) =>
    caller.token.list({ all, limit: 1000, ...(after === undefined ? {} : { after }) }),
  );
  const tokens = pages.flatMap((page) => page.tokens);
  const { nowMs } = await caller.stats.overview();
  const rows = tokens.map((token) => [
    token.id,
    token.operator,
    token.state,
    token.usesLeft,
    token.usesTaken,
    showRemaining(token.expiresAtMs, nowMs),
    token.madeBy ?? "",
  ]);
  const text =
    rows.length === 0
      ? "There is no join token. Make one: pnpm admin token create --operator NAME"
      : showTable(["id", "operator", "state", "uses left", "joined", "ends", "made by"], rows);
  return { data: tokens, text };
}

/** `admin token create`: the token on a line of its own, so that a script can take it. */
export async function createToken(caller: Caller, input: RouterInputs["token"]["create"]): Promise<Shown> {
  const made = await caller.token.create(input);
  const ends = showRemaining(made.expiresAtMs, Date.now());
  return {
    data: made,
    text: `${made.joinToken}\n\nJoin token ${made.id}, good for ${made.uses} node(s) of ${made.operator}, for ${ends}.`,
  };
}

/** `admin token revoke`. */
export async function revokeToken(caller: Caller, input: RouterInputs["token"]["revoke"]): Promise<Shown> {
  const { revoked } = await caller.token.revoke(input);
  return {
    data: { revoked },
    text: revoked.length === 0 ? "It was revoked before." : `Revoked: ${revoked.join(", ")}.`,
  };
}
