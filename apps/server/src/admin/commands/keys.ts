import type { Caller, RouterInputs } from "../caller.ts";
import { showAge, showRemaining, showTable } from "../show.ts";

type Shown = { readonly data: unknown; readonly text: string };

/** Every page of a list, one after the other. */
export async function readAll<Page extends { readonly next: string | null }>(
  read: (after: string | undefined) => Promise<Page>,
): Promise<readonly Page[]> {
  const pages: Page[] = [];
  let after: string | undefined;
  do {
    const page = await read(after);
    pages.push(page);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return pages;
}

/** `admin keys`: who may call, without the secrets. */
export async function showKeys(caller: Caller, { all }: { readonly all: boolean }): Promise<Shown> {
  const pages = await readAll((after) =>
    caller.key.list({ all, limit: 1000, ...(after === undefined ? {} : { after }) }),
  );
  const keys = pages.flatMap((page) => page.keys);
  const { nowMs } = await caller.stats.overview();
  const rows = keys.map((key) => [
    key.id,
    key.name,
    key.role,
    key.node === null ? (key.operator ?? "") : `${key.node} (${key.operator})`,
    key.state,
    key.expiresAtMs === null ? "never" : showRemaining(key.expiresAtMs, nowMs),
    showAge(key.lastUsedAtMs, nowMs),
    key.madeBy,
  ]);
  const text =
    rows.length === 0
      ? "There is no key. Make one: pnpm admin key create --role admin --name NAME"
      : showTable(["id", "name", "role", "of", "state", "ends", "last used", "made by"], rows);
  return { data: keys, text };
}

/** `admin key create`: the key on a line of its own, so that a script can take it. */
export async function createKey(caller: Caller, input: RouterInputs["key"]["create"]): Promise<Shown> {
  const made = await caller.key.create(input);
  const ends = made.expiresAtMs === null ? "without an end" : `for ${showRemaining(made.expiresAtMs, Date.now())}`;
  return {
    data: made,
    text: `${made.key}\n\nKey ${made.id} "${made.name}" with the role ${made.role}, ${ends}. It is shown this once.`,
  };
}

/** `admin key revoke`. */
export async function revokeKey(caller: Caller, input: RouterInputs["key"]["revoke"]): Promise<Shown> {
  const { revoked } = await caller.key.revoke(input);
  const ofNode =
    input.nodeId === undefined ? "" : `The key that node ${input.nodeId} joined with opens nothing any more. `;
  const text = revoked.length === 0 ? "No other key was valid." : `Revoked: ${revoked.join(", ")}.`;
  return {
    data: { revoked },
    text: input.nodeId === undefined && revoked.length === 0 ? "It was revoked before." : `${ofNode}${text}`,
  };
}
