import type { DispatcherClient, RouterInputs, RouterOutputs } from "@dispatcher/client";
import { DispatcherError } from "@dispatcher/core";
import type { AssetId, NodeId } from "@dispatcher/core";
import { Option } from "commander";
import type { Command } from "commander";
import type { Answer, Column } from "../answer.ts";
import { showTime } from "../format.ts";
import { UsageFault } from "../io.ts";
import { examples, gather, limitOption } from "../options.ts";
import { PageReader } from "../pages.ts";
import type { Runner } from "../session.ts";
import { printable } from "../table.ts";

type Event = RouterOutputs["event"]["list"]["events"][number];
type EventFilter = Pick<Exclude<RouterInputs["event"]["list"], void | undefined>, "kinds" | "nodeId" | "assetId">;

const COLUMNS: readonly Column<Event>[] = [
  { name: "id", title: "id" },
  { name: "atMs", title: "at", text: ({ atMs }) => showTime(atMs) },
  { name: "kind", title: "kind" },
  { name: "actor", title: "who" },
  { name: "nodeId", title: "node" },
  { name: "assetIds", title: "assets", value: ({ assetIds }) => assetIds.join(" "), text: showAssets },
  { name: "detail", title: "detail", value: ({ detail }) => (detail === null ? null : JSON.stringify(detail)) },
];

/** A sync may be about a thousand. */
function showAssets({ assetIds }: Event): string {
  return assetIds.length > 3 ? `${assetIds.length} assets` : assetIds.join(", ");
}

/** As wide as the longest of what is usual, so that lines which come one by one stand below each other. */
function lineOf({ id, atMs, kind, actor, nodeId, assetIds, detail }: Event): string {
  const who = nodeId === null ? actor : `${actor} ${nodeId}`;
  const what = assetIds.length > 0 ? `assets ${assetIds.length > 3 ? assetIds.length : assetIds.join(", ")}  ` : "";
  const facts = detail === null ? "" : JSON.stringify(detail);
  const columns = [showTime(atMs), String(id).padStart(8), kind.padEnd(17), who.padEnd(10), `${what}${facts}`];
  return printable(columns.join("  ").trimEnd());
}

type EventOptions = {
  readonly kind?: readonly string[];
  readonly node?: NodeId;
  readonly asset?: AssetId;
  readonly limit?: number;
  readonly after?: string;
  readonly follow?: true;
  readonly since?: string;
};

const LIMIT_DEFAULT = 50;

/** `admin events`: who did what, when and why. */
export function addEvents(program: Command, run: Runner): void {
  program
    .command("events")
    .description("the log of what happened, newest first; or, with --follow, as it grows")
    .addOption(
      new Option("--kind <kind>", "only of this kind, such as origin.paused; may be repeated").argParser(gather),
    )
    .option("--node <id>", "only about this node")
    .option("--asset <id>", "only about this asset")
    .addOption(limitOption().default(undefined, String(LIMIT_DEFAULT)))
    .option("--after <next>", "go on behind the list that ended with this")
    .option("-f, --follow", "tell what happens from now on, until Ctrl-C; a cut is gone on behind by itself")
    .option("--since <event>", "with --follow: what came behind the event of this id, first")
    .addHelpText(
      "after",
      examples(
        "events --kind node.retired --kind node.blocked",
        "events --asset 4711 -o json",
        "events --follow",
        "events --follow --since 81234 -o ndjson >> events.ndjson",
      ),
    )
    .action(
      run.client<EventOptions>(async ({ client, answer, io }, options) => {
        const { kind, node, asset, limit = LIMIT_DEFAULT, after, follow, since } = options;
        const filter: EventFilter = {
          ...(kind !== undefined && { kinds: [...kind] }),
          ...(node !== undefined && { nodeId: node }),
          ...(asset !== undefined && { assetId: asset }),
        };
        if (follow === true) {
          const pages = followEvents(
            client,
            { ...filter, ...(since !== undefined && { lastEventId: since }) },
            answer,
            io.signal,
          );
          await answer.follow({ columns: COLUMNS }, pages, lineOf);
          return;
        }
        const pages = new PageReader<Event>(
          async (asked) => {
            const { events, next } = await client.event.list.query({ ...filter, ...asked });
            return { rows: events, next };
          },
          { limit, after },
        );
        await answer.list({ columns: COLUMNS, none: "No event matches." }, pages);
        if (pages.next !== null) answer.say(`There are more: a greater --limit, or --after ${pages.next}`);
      }, checkOptions),
    );
}

/** @throws UsageFault */
function checkOptions({ follow, limit, after, since, output }: EventOptions & { readonly output?: string }): void {
  if (follow !== true && since !== undefined) throw new UsageFault("--since goes with --follow.");
  if (follow !== true) return;
  if (limit !== undefined || after !== undefined)
    throw new UsageFault("--follow has no end: leave --limit and --after out.");
  if (output === "json") throw new UsageFault("--follow writes a line for each event: choose ndjson, csv or table.");
}

/** Messages as they come, over any cut; each cut is told. */
async function* followEvents(
  client: DispatcherClient,
  input: Exclude<RouterInputs["event"]["live"], void | undefined>,
  answer: Answer,
  signal: AbortSignal,
): AsyncGenerator<readonly Event[]> {
  const waiting: (readonly Event[])[] = [];
  let end: { readonly error?: unknown } | null = null;
  let isCut = false;
  let news = Promise.withResolvers<void>();
  const wake = (): void => news.resolve();
  const subscription = client.event.live.subscribe(input, {
    signal,
    onStarted: () => {
      if (isCut) answer.say("Connected again.");
      isCut = false;
    },
    onData: ({ data }) => {
      waiting.push(data.events);
      wake();
    },
    onConnectionStateChange: ({ error }) => {
      if (error === null || isCut) return;
      isCut = true;
      const why: unknown = error;
      answer.say(
        `${why instanceof DispatcherError ? `${why.code}: ${why.detail}` : "The connection was lost."} Trying again.`,
      );
    },
    onError: (error) => {
      end = { error };
      wake();
    },
    onComplete: () => {
      end ??= {};
      wake();
    },
  });
  try {
    for (;;) {
      while (waiting.length > 0) yield waiting.shift() ?? [];
      const how = end as { readonly error?: unknown } | null;
      if (how !== null && "error" in how) throw how.error;
      if (how !== null) return;
      await news.promise;
      news = Promise.withResolvers();
    }
  } finally {
    subscription.unsubscribe();
  }
}
