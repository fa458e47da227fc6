import type { RouterOutputs } from "@dispatcher/client";
import type { Command } from "commander";
import type { Column } from "../answer.ts";
import { showTime } from "../format.ts";
import { UsageFault } from "../io.ts";
import { examples, limitOption, parseCount, parsePriority, reasonOption } from "../options.ts";
import { PageReader } from "../pages.ts";
import type { Runner } from "../session.ts";
import { showTable } from "../table.ts";

type Dataset = RouterOutputs["dataset"]["get"];

const COLUMNS: readonly Column<Dataset>[] = [
  { name: "id" },
  { name: "key", title: "key" },
  { name: "title", title: "title" },
  { name: "sourceUrl" },
  { name: "priority", title: "priority" },
  { name: "copiesMin", title: "min", value: ({ copies }) => copies.min },
  { name: "copiesTarget", title: "target", value: ({ copies }) => copies.target },
  { name: "copiesMax", title: "max", value: ({ copies }) => copies.max },
  { name: "createdAtMs", title: "imported", text: ({ createdAtMs }) => showTime(createdAtMs) },
];

type UpdateOptions = {
  readonly priority?: number;
  readonly copies?: number;
  readonly copiesMin?: number;
  readonly copiesMax?: number;
  readonly reason?: string;
};

/** `admin datasets`, `admin dataset get|update`. */
export function addDatasets(program: Command, run: Runner): void {
  program
    .command("datasets")
    .description("what was imported, by key")
    .addOption(limitOption())
    .addHelpText("after", examples("datasets", "datasets -o csv"))
    .action(
      run.client<{ readonly limit?: number }>(async ({ client, answer }, { limit }) => {
        const pages = new PageReader<Dataset>(
          async (asked) => {
            const { datasets, next } = await client.dataset.list.query(asked);
            return { rows: datasets, next };
          },
          { limit },
        );
        await answer.list(
          { columns: COLUMNS, none: "There is no dataset. Import one: pnpm admin import SOURCE" },
          pages,
        );
      }),
    );

  const dataset = program.command("dataset").description("one dataset");
  dataset
    .command("get <key>")
    .description("what is wished for its assets")
    .addHelpText("after", examples("dataset get noaa"))
    .action(
      run.client(async ({ client, answer }, _options, key = "") => {
        const found = await client.dataset.get.query({ key });
        await answer.one(found, describeDataset(found));
      }),
    );
  dataset
    .command("update <key>")
    .description("change priority or copies of all its assets")
    .option("--priority <1-10>", "of its assets that have none of their own; 10 is most urgent", parsePriority)
    .option("--copies <count>", "independent copies to aim at", parseCount)
    .option("--copies-min <count>", "copies below which an asset is in danger", parseCount)
    .option("--copies-max <count>", "copies that are never passed", parseCount)
    .addOption(reasonOption())
    .addHelpText(
      "after",
      examples("dataset update noaa --priority 10", "dataset update noaa --copies 4 --copies-max 6 --reason 'rare'"),
    )
    .action(
      run.client<UpdateOptions>(
        async ({ client, answer }, { priority, copies, copiesMin, copiesMax, reason }, key = "") => {
          // Those that are not named stay as they are.
          const before = (await client.dataset.get.query({ key })).copies;
          const wanted = {
            min: copiesMin ?? before.min,
            target: copies ?? before.target,
            max: copiesMax ?? before.max,
          };
          const changesCopies = [copies, copiesMin, copiesMax].some((count) => count !== undefined);
          const updated = await client.dataset.update.mutate({
            key,
            ...(priority !== undefined && { priority }),
            ...(changesCopies && { copies: wanted }),
            ...(reason !== undefined && { reason }),
          });
          await answer.one(updated, describeDataset(updated));
        },
        ({ priority, copies, copiesMin, copiesMax }) => {
          if ([priority, copies, copiesMin, copiesMax].every((given) => given === undefined)) {
            throw new UsageFault("Say what to change: --priority, --copies, --copies-min or --copies-max.");
          }
        },
      ),
    );
}

function describeDataset({ key, title, sourceUrl, priority, copies, createdAtMs }: Dataset): string {
  return showTable(
    ["what", "now"],
    [
      ["key", key],
      ["title", title ?? ""],
      ["source", sourceUrl ?? ""],
      ["priority", priority],
      ["copies", `${copies.target}, at least ${copies.min}, at most ${copies.max}`],
      ["imported", showTime(createdAtMs)],
    ],
  );
}
