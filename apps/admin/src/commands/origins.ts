import type { RouterOutputs } from "@dispatcher/client";
import type { Command } from "commander";
import type { Column } from "../answer.ts";
import { showRemaining } from "../format.ts";
import { UsageFault } from "../io.ts";
import { examples, limitOption, parseCount, reasonOption } from "../options.ts";
import { PageReader, readServerTime } from "../pages.ts";
import type { Runner } from "../session.ts";
import { showTable } from "../table.ts";

type Origin = RouterOutputs["origin"]["get"];
type ActOptions = { readonly reason?: string };

function showClosed({ closedUntilMs }: Origin, nowMs: number): string {
  return closedUntilMs === null || closedUntilMs <= nowMs ? "" : showRemaining(closedUntilMs, nowMs);
}

function columnsAt(nowMs: number): readonly Column<Origin>[] {
  return [
    { name: "id" },
    { name: "host", title: "origin" },
    { name: "paused", title: "paused", text: ({ paused }) => (paused ? "yes" : "") },
    { name: "inUse", title: "fetching" },
    { name: "concurrency", title: "allowed" },
    { name: "concurrencyMax", title: "at most", value: ({ budget }) => budget.concurrencyMax },
    { name: "requestsPerMinute", title: "a minute", value: ({ budget }) => budget.requestsPerMinute },
    {
      name: "isDefault",
      title: "budget",
      value: ({ budget }) => budget.isDefault,
      text: ({ budget }) => (budget.isDefault ? "default" : "its own"),
    },
    { name: "failures", title: "failures" },
    { name: "closedUntilMs", title: "closed for", text: (origin) => showClosed(origin, nowMs) },
    { name: "openSlots", title: "open slots" },
    { name: "retryAfterMs" },
  ];
}

/** `admin origins`, `admin origin ...`: where files come from, and how much is asked of each. */
export function addOrigins(program: Command, run: Runner): void {
  program
    .command("origins")
    .description("where files come from, with budgets and breakers, by host")
    .option("--paused", "only those that are paused")
    .addOption(limitOption())
    .addHelpText("after", examples("origins", "origins --paused"))
    .action(
      run.client<{ readonly paused?: true; readonly limit?: number }>(async ({ client, answer }, { paused, limit }) => {
        const pages = new PageReader<Origin>(
          async (asked) => {
            const { origins, next } = await client.origin.list.query({ ...asked, ...(paused && { paused }) });
            return { rows: origins, next };
          },
          { limit },
        );
        const none = paused ? "No origin is paused." : "There is no origin yet: they come with what is imported.";
        await answer.list({ columns: columnsAt(await readServerTime(client)), none }, pages);
      }),
    );

  const origin = program.command("origin").description("one origin, by host and port");
  origin
    .command("get <host>")
    .description("its budget, fetches and breaker")
    .addHelpText("after", examples("origin get data.example.org:443"))
    .action(
      run.client(async ({ client, answer }, _options, host = "") => {
        const found = await client.origin.get.query({ host });
        await answer.one(found, describeOrigin(found, await readServerTime(client)));
      }),
    );
  for (const [name, meaning] of [
    ["pause", "leave it alone: no fetch begins there"],
    ["resume", "let a paused one go on"],
  ] as const) {
    origin
      .command(`${name} <host>`)
      .description(meaning)
      .addOption(reasonOption())
      .addHelpText("after", examples(`origin ${name} data.example.org:443 --reason 'they asked'`))
      .action(
        run.client<ActOptions>(async ({ client, answer }, { reason }, host = "") => {
          const done = await client.origin[name].mutate({ host, ...(reason !== undefined && { reason }) });
          await answer.one(done, describeOrigin(done, await readServerTime(client)));
        }),
      );
  }
  origin
    .command("budget <host>")
    .description("give it a budget of its own")
    .option("--concurrency <count>", "fetches at once in good times", parseCount)
    .option("--per-minute <count>", "fetches begun a minute", parseCount)
    .option("--default", "the servers' own again")
    .addOption(reasonOption())
    .addHelpText(
      "after",
      examples(
        "origin budget data.example.org:443 --concurrency 8 --per-minute 120 --reason 'agreed with them'",
        "origin budget data.example.org:443 --default",
      ),
    )
    .action(
      run.client<ActOptions & { readonly concurrency?: number; readonly perMinute?: number; readonly default?: true }>(
        async ({ client, answer }, options, host = "") => {
          const { reason } = options;
          // What is not named stays as it is.
          const { budget: before } = await client.origin.get.query({ host });
          const budget = options.default
            ? null
            : {
                concurrencyMax: options.concurrency ?? before.concurrencyMax,
                requestsPerMinute: options.perMinute ?? before.requestsPerMinute,
              };
          const done = await client.origin.setBudget.mutate({ host, budget, ...(reason !== undefined && { reason }) });
          await answer.one(done, describeOrigin(done, await readServerTime(client)));
        },
        ({ concurrency, perMinute, default: isDefault }) => {
          const isOwn = concurrency !== undefined || perMinute !== undefined;
          if (isOwn === (isDefault === true)) {
            throw new UsageFault("Give --concurrency, --per-minute or both; or --default alone.");
          }
        },
      ),
    );
}

function describeOrigin(origin: Origin, nowMs: number): string {
  const { host, budget, paused, concurrency, inUse, failures, openSlots } = origin;
  const closed = showClosed(origin, nowMs);
  return showTable(
    ["what", "now"],
    [
      ["origin", host],
      ["paused", paused ? "yes" : "no"],
      [
        "budget",
        `${budget.concurrencyMax} at once, ${budget.requestsPerMinute} a minute${budget.isDefault ? " (the servers' own)" : ""}`,
      ],
      ["allowed now", `${concurrency} at once, ${openSlots} open`],
      ["fetching", inUse],
      ["failures", failures],
      ["closed", closed === "" ? "no" : `for ${closed}`],
    ],
  );
}
