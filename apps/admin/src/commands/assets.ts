import type { RouterOutputs } from "@dispatcher/client";
import type { NodeId } from "@dispatcher/core";
import { Option } from "commander";
import type { Command } from "commander";
import { ASSET_COLUMNS } from "../asset-columns.ts";
import type { Asset } from "../asset-columns.ts";
import { addAssetFilter, assetFilterOf } from "../asset-filter.ts";
import type { AssetFilter } from "../asset-filter.ts";
import { counted, showBytes, showTime } from "../format.ts";
import { examples, limitOption } from "../options.ts";
import { PageReader } from "../pages.ts";
import type { Runner } from "../session.ts";
import { printable, showTable } from "../table.ts";

type ListOptions = AssetFilter & {
  readonly order?: "urgency" | "id";
  readonly limit: number;
  readonly after?: string;
};

/** `admin assets`, `admin asset get`, `admin asset explain`. */
export function addAssets(program: Command, run: Runner): void {
  addAssetFilter(program.command("assets").description("the catalog, most urgent first"))
    .addOption(new Option("--order <order>", "the most urgent or the oldest first").choices(["urgency", "id"]))
    .addOption(limitOption(50))
    .option("--after <next>", "go on behind the list that ended with this")
    .addHelpText(
      "after",
      examples(
        "assets --incomplete --limit 20",
        "assets --dataset noaa --below-min -o csv --limit 1000000 > endangered.csv",
        "assets --starts-with https://data.example.org/archive/",
      ),
    )
    .action(
      run.client<ListOptions>(async ({ client, answer }, options) => {
        const { order, limit, after } = options;
        const filter = { ...assetFilterOf(options), ...(order !== undefined && { order }) };
        const pages = new PageReader<Asset>(
          async (asked) => {
            const { assets, next } = await client.asset.list.query({ ...filter, ...asked });
            return { rows: assets, next };
          },
          { limit, after },
        );
        await answer.list({ columns: ASSET_COLUMNS, none: "No asset matches." }, pages);
        if (pages.next !== null) answer.say(`There are more: a greater --limit, or --after ${pages.next}`);
      }),
    );

  const asset = program.command("asset").description("one asset");
  asset
    .command("get <id>")
    .description("its copies, the history of its grants, and what people did to it")
    .addHelpText("after", examples("asset get 4711", "asset get 4711 -o json | jq .replicas"))
    .action(
      run.client(async ({ client, answer }, _options, id = "") => {
        const found = await client.asset.get.query({ id });
        await answer.one(found, describeAsset(found, answer.columns));
      }),
    );
  asset
    .command("explain <id>")
    .description("who could take it now, and what keeps the others from it")
    .option("--node <id>", "every rule about this node and the asset")
    .addHelpText("after", examples("asset explain 4711", "asset explain 4711 --node 12"))
    .action(
      run.client<{ readonly node?: NodeId }>(async ({ client, answer }, { node }, id = "") => {
        const told = await client.asset.explain.query({ id, ...(node !== undefined && { nodeId: node }) });
        await answer.one(told, describeExplanation(told, answer.columns));
      }),
    );
}

function describeAsset(asset: RouterOutputs["asset"]["get"], columns: number | null): string {
  const { replicas, assignments, acts } = asset;
  const facts = showTable(
    ["what", "now"],
    [
      ["id", asset.id],
      ["path", `${asset.dataset}/${asset.path}`],
      ["url", asset.url],
      ["size", showBytes(asset.sizeBytes)],
      ["digest", asset.digest === null ? "not declared" : `${asset.digest.algorithm} ${asset.digest.hex}`],
      ["state", asset.state],
      ["copies", `${asset.copies} of ${asset.copiesTarget}, at least ${asset.copiesMin}`],
      ["open leases", asset.openLeases],
      ["priority", asset.priority],
      ["urgency", asset.urgency.toFixed(3)],
      ["removed", asset.removeByMs === null ? "nobody said so" : `expected on ${showTime(asset.removeByMs)}`],
    ],
    columns,
  );
  const parts = [facts];
  if (replicas.length > 0) {
    const rows = replicas.map(({ nodeId, node, operator, sizeBytes, trust, counts, storedAtMs }) => [
      nodeId,
      node ?? "",
      operator ?? "",
      showBytes(sizeBytes),
      trust,
      counts ? "yes" : "no",
      showTime(storedAtMs),
    ]);
    const head = ["on node", "name", "operator", "size", "trust", "counts", "stored"];
    parts.push(showTable(head, rows, columns));
  }
  if (assignments.length > 0) {
    const rows = assignments.map((one) => [
      one.nodeId,
      one.node ?? "",
      one.state,
      one.term,
      showBytes(one.bytesDone),
      showTime(one.grantedAtMs),
      showTime(one.endedAtMs),
      [one.failureCode, one.failureMessage].filter((text) => text !== null).join(": "),
    ]);
    parts.push(showTable(["to node", "name", "grant", "term", "done", "granted", "ended", "failure"], rows, columns));
  }
  if (acts.length > 0) {
    const rows = acts.map(({ id, atMs, kind, reason }) => [id, showTime(atMs), kind, reason ?? ""]);
    parts.push(showTable(["event", "at", "what", "why"], rows, columns));
  }
  return parts.join("\n\n");
}

function describeExplanation(told: RouterOutputs["asset"]["explain"], columns: number | null): string {
  const { copies, node } = told;
  const facts = showTable(
    ["what", "now"],
    [
      ["id", told.id],
      ["state", told.state],
      ["rests until", told.restsUntilMs === null ? "it does not" : showTime(told.restsUntilMs)],
      ["urgency", told.urgency.toFixed(3)],
      ["copies", `${copies.independent} independent of ${copies.target}; room for ${copies.placesLeft} more`],
      ["nodes asked", told.nodesAsked],
      ["could take it", told.eligible.join(", ") || "nobody"],
      ["would be chosen", told.chosen ?? "nobody"],
    ],
  );
  const parts = [facts];
  if (told.refused.length > 0) {
    const rows = told.refused.map(({ reason, nodes, nearest, change }) => [reason, nodes, nearest, change]);
    parts.push(showTable(["refused for", "nodes", "nearest", "what would change it"], rows, columns));
  }
  if (node !== null) {
    const rows = node.findings.map(({ rule, passes, reason, change }) => [
      rule,
      passes ? "passes" : reason,
      change ?? "",
    ]);
    parts.push(`Node ${node.nodeId} is ${node.verdict}: ${counted(node.refusals.length, "rule")} against it.`);
    parts.push(showTable(["rule", "finding", "what would change it"], rows, columns));
  }
  if (told.change !== null) parts.push(printable(told.change));
  return parts.join("\n\n");
}
