import type { RouterOutputs } from "@dispatcher/client";
import { Option } from "commander";
import type { Command } from "commander";
import { ASSET_COLUMNS } from "../asset-columns.ts";
import type { Asset } from "../asset-columns.ts";
import type { Column } from "../answer.ts";
import { showBytes, showTime } from "../format.ts";
import { DAY_MS, examples, limitOption, parseCount, parseDuration } from "../options.ts";
import type { Runner } from "../session.ts";

type Bucket = RouterOutputs["stats"]["throughput"]["buckets"][number];
type Leader = RouterOutputs["stats"]["leaderboard"]["operators"][number];
type Bar = RouterOutputs["stats"]["copiesHistogram"]["bars"][number];
type Endangered = Asset & { readonly danger: "below minimum" | "removed soon" };

const BUCKETS: readonly Column<Bucket>[] = [
  { name: "startMs", title: "from", text: ({ startMs }) => showTime(startMs).slice(0, 16) },
  { name: "stored", title: "stored" },
  { name: "storedBytes", title: "bytes", text: ({ storedBytes }) => showBytes(storedBytes) },
  { name: "granted", title: "granted" },
  { name: "failed", title: "failed" },
  { name: "released", title: "given back" },
  { name: "expired", title: "expired" },
  { name: "cancelled", title: "cancelled" },
  { name: "adopted", title: "adopted" },
  { name: "dropped", title: "dropped" },
];

const LEADERS: readonly Column<Leader>[] = [
  { name: "operator", title: "operator", text: ({ operator }) => operator ?? "(not told)" },
  { name: "nodes", title: "nodes" },
  { name: "copies", title: "copies" },
  { name: "bytes", title: "bytes", text: ({ bytes }) => showBytes(bytes) },
  { name: "verifiedCopies", title: "ever made" },
  { name: "sinceMs", title: "since", text: ({ sinceMs }) => showTime(sinceMs).slice(0, 10) },
];

const BARS: readonly Column<Bar>[] = [
  { name: "copies", title: "copies" },
  { name: "assets", title: "assets" },
  { name: "bytes", title: "bytes", text: ({ bytes }) => showBytes(bytes) },
];

const ENDANGERED: readonly Column<Endangered>[] = [
  { name: "danger", title: "danger" },
  ...ASSET_COLUMNS.filter(({ name }) => name !== "state" && name !== "removeByMs"),
  { name: "removeByMs", title: "removed", text: ({ removeByMs }) => showTime(removeByMs).slice(0, 10) },
];

/** `admin stats ...`: numbers over time, over operators and over assets. */
export function addStats(program: Command, run: Runner): void {
  const stats = program.command("stats").description("numbers over time, operators and assets");
  stats
    .command("throughput")
    .description("what each of the last hours or days brought, by UTC; oldest first")
    .addOption(new Option("--by <unit>", "hours or days").choices(["hour", "day"]).default("hour"))
    .option("--last <count>", "so many of them, the one under way among them", parseCount, 24)
    .addHelpText("after", examples("stats throughput", "stats throughput --by day --last 30 -o csv"))
    .action(
      run.client<{ readonly by: "hour" | "day"; readonly last: number }>(async ({ client, answer }, { by, last }) => {
        const { buckets } = await client.stats.throughput.query({ by, last });
        await answer.list({ columns: BUCKETS, none: "Nothing was counted yet." }, [buckets]);
      }),
    );
  stats
    .command("leaderboard")
    .description("operators by the copies that their nodes hold")
    .addOption(limitOption(100))
    .addHelpText("after", examples("stats leaderboard --limit 10"))
    .action(
      run.client<{ readonly limit: number }>(async ({ client, answer }, { limit }) => {
        const { operators } = await client.stats.leaderboard.query({ limit });
        await answer.list({ columns: LEADERS, none: "No operator has a node yet." }, [operators]);
      }),
    );
  stats
    .command("at-risk")
    .description("assets in danger: below their minimum of copies, or soon to be removed")
    .addOption(limitOption(100))
    .addOption(
      new Option("--within <duration>", "how near the day of removal has to be")
        .argParser(parseDuration)
        .default(30 * DAY_MS, "30d"),
    )
    .addHelpText("after", examples("stats at-risk", "stats at-risk --within 7d --limit 20"))
    .action(
      run.client<{ readonly limit: number; readonly within: number }>(async ({ client, answer }, { limit, within }) => {
        const { belowMin, endingSoon } = await client.stats.atRisk.query({ limit, withinMs: within });
        const rows: Endangered[] = [
          ...belowMin.map((asset) => ({ danger: "below minimum" as const, ...asset })),
          ...endingSoon.map((asset) => ({ danger: "removed soon" as const, ...asset })),
        ];
        await answer.list({ columns: ENDANGERED, none: "No asset is in danger." }, [rows]);
      }),
    );
  stats
    .command("copies")
    .description("how many wanted assets have how many independent copies")
    .addHelpText("after", examples("stats copies", "stats copies -o csv"))
    .action(
      run.client(async ({ client, answer }) => {
        const { bars } = await client.stats.copiesHistogram.query();
        await answer.list({ columns: BARS, none: "No asset is wanted." }, [bars]);
      }),
    );
}
