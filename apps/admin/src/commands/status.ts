import type { RouterOutputs } from "@dispatcher/client";
import type { Command } from "commander";
import { showBytes, showDuration } from "../format.ts";
import { examples } from "../options.ts";
import type { Runner } from "../session.ts";
import { showTable } from "../table.ts";

type Overview = RouterOutputs["stats"]["overview"];

/** `admin status`: how far the rescue is. */
export function addStatus(program: Command, run: Runner): void {
  program
    .command("status")
    .description("how far the rescue is")
    .addHelpText(
      "after",
      examples("status", "status -o json | jq .copies", "status --url https://dispatcher.example.org"),
    )
    .action(
      run.client(async ({ client, answer }) => {
        const overview = await client.stats.overview.query();
        await answer.one(overview, describeOverview(overview));
      }),
    );
}

/** `3 online, 1 lost`; what there is none of is left out. */
function counts(named: Readonly<Record<string, number>>): string {
  const parts = Object.entries(named).filter(([, count]) => count > 0);
  return parts.map(([name, count]) => `${count} ${name}`).join(", ") || "none";
}

/** Of nothing there is no share. Rounded down, so that 100 % is all of it. */
function share({ counting, wanted }: Overview["copies"]): string {
  return wanted === 0 ? "" : ` (${Math.floor((100 * counting) / wanted)} %)`;
}

/** A catalog that is counted in seconds is counted now and then. */
const OLD_MS = 60_000;

export function describeOverview({ ageMs, assets, bytes, copies, nodes, leases }: Overview): string {
  const { reassigned, ...ends } = leases;
  return showTable(
    ["what", "now"],
    [
      ["copies", `${copies.counting} of ${copies.wanted}${share(copies)}`],
      [
        "assets",
        `${assets.total}: ${assets.complete} complete, ${assets.open} to do, ${assets.withoutCopy} without a copy`,
      ],
      ["in danger", `${assets.belowMin} below their minimum of copies`],
      ["set aside", counts({ gone: assets.gone, review: assets.review, withdrawn: assets.withdrawn })],
      ["bytes", `${showBytes(bytes.copied)} copied, catalog ${showBytes(bytes.catalog)}`],
      ["nodes", counts(nodes)],
      ["leases", counts(ends)],
      ["reassigned", reassigned],
      ...(ageMs < OLD_MS ? [] : [["counted", `${showDuration(ageMs)} ago`]]),
    ],
  );
}
