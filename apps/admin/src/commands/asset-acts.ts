import type { RouterInputs, RouterOutputs } from "@dispatcher/client";
import type { AssetId, NodeId } from "@dispatcher/core";
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { addAssetFilter, assetFilterOf } from "../asset-filter.ts";
import type { AssetFilter } from "../asset-filter.ts";
import type { Listing } from "../answer.ts";
import { counted, showTime } from "../format.ts";
import { UsageFault } from "../io.ts";
import type { Io } from "../io.ts";
import { examples, limitOption, parseDuration, parsePriority, reasonOption, yesOption } from "../options.ts";
import { ProgressLine } from "../progress-line.ts";
import { confirm, requireConsent } from "../session.ts";
import type { Runner, Session } from "../session.ts";

/** As many as one call may change. */
const PER_CALL = 1000;

type Selection = Pick<RouterInputs["asset"]["restore"], "ids" | "filter" | "limit" | "after" | "reason">;
type Done = { readonly matched: number; readonly changed: number };
type SelectOptions = AssetFilter & { readonly reason?: string };

/** `admin prioritize`, `withdraw`, `restore`, `requeue`: what people do to assets. */
export function addAssetActs(program: Command, run: Runner, io: Io): void {
  acting(program.command("prioritize [ids...]").description("give assets a priority of their own"))
    .addOption(
      new Option("--priority <1-10>", "10 is most urgent; `dataset` for their dataset's own again")
        .argParser(parseOwnPriority)
        .makeOptionMandatory(),
    )
    .addHelpText(
      "after",
      examples(
        "prioritize 4711 4712 --priority 10 --reason 'to be shut down on Friday'",
        "prioritize --dataset noaa --below-min --priority 9",
        "prioritize --origin data.example.org:443 --priority dataset",
      ),
    )
    .action(
      run.clientToItsEnd<SelectOptions & { readonly priority: number | "dataset" }>(
        async (session, options, ...words) => {
          const { client } = session;
          const priority = options.priority === "dataset" ? null : options.priority;
          const done = await actOnAll(session, options, words, (selection) =>
            client.asset.prioritize.mutate({ ...selection, priority }),
          );
          await session.answer.one(done, describeDone(done));
        },
        requireSelection,
      ),
    );

  acting(program.command("withdraw [ids...]").description("give assets up: no new grants; copies stay"))
    .option("--delete-copies", "let every node delete its copy, the last one too")
    .addOption(yesOption())
    .addHelpText(
      "after",
      "\nIt asks before copies are deleted, which cannot be undone; --yes says so beforehand.\n" +
        examples(
          "withdraw 4711 --reason 'not public after all'",
          "withdraw --dataset test-import --delete-copies --yes",
        ),
    )
    .action(
      run.clientToItsEnd<SelectOptions & { readonly deleteCopies?: boolean; readonly yes?: boolean }>(
        async (session, options, ...words) => {
          const { client, answer } = session;
          const { deleteCopies = false } = options;
          const which = wordsOf(words).length > 0 ? counted(wordsOf(words).length, "asset") : "all assets that match";
          if (deleteCopies && !(await confirm(session, `Delete every copy of ${which}, for good?`, options)))
            return 130;
          let [leasesStopped, copiesLeaving] = [0, 0];
          const done = await actOnAll(session, options, words, async (selection) => {
            const page = await client.asset.withdraw.mutate({ ...selection, deleteCopies });
            leasesStopped += page.leasesStopped;
            copiesLeaving += page.copiesLeaving;
            return page;
          });
          const also = `${counted(leasesStopped, "lease")} to stop, ${copiesLeaving} ${copiesLeaving === 1 ? "copy" : "copies"} to be deleted.`;
          await answer.one({ ...done, leasesStopped, copiesLeaving }, `${describeDone(done)} ${also}`);
          return 0;
        },
        (options, ...words) => {
          requireSelection(options, ...words);
          if (options.deleteCopies === true) requireConsent(io, options);
        },
      ),
    );

  acting(program.command("restore [ids...]").description("want withdrawn assets once more"))
    .addHelpText("after", examples("restore 4711", "restore --dataset noaa --reason 'public again'"))
    .action(
      run.clientToItsEnd<SelectOptions>(async (session, options, ...words) => {
        const done = await actOnAll(session, options, words, (selection) =>
          session.client.asset.restore.mutate(selection),
        );
        await session.answer.one(done, describeDone(done));
      }, requireSelection),
    );

  addRequeue(program, run);
}

function acting(command: Command): Command {
  return addAssetFilter(command).addOption(reasonOption());
}

function parseOwnPriority(text: string): number | "dataset" {
  if (text === "dataset") return text;
  try {
    return parsePriority(text);
  } catch {
    throw new InvalidArgumentError("It has to be a whole number from 1 to 10, 10 most urgent, or `dataset`.");
  }
}

/** The ids behind a command's name, which commander gives as one list. */
function wordsOf(words: readonly (string | readonly string[])[]): readonly AssetId[] {
  return words.flat() as AssetId[];
}

/** All of the catalog is not what anybody means without saying so. @throws UsageFault */
function requireSelection(options: SelectOptions, ...words: readonly string[]): void {
  const hasIds = wordsOf(words).length > 0;
  const hasFilter = Object.keys(assetFilterOf(options)).length > 0;
  if (hasIds && hasFilter) throw new UsageFault("Name assets by their ids or by a filter, not by both.");
  if (!hasIds && !hasFilter) throw new UsageFault("Name assets by their ids, or by a filter such as --dataset KEY.");
}

/** Call again and again until all that are meant are done; each call is a transaction, and doing it twice changes nothing. */
async function actOnAll(
  { io, answer }: Session,
  options: SelectOptions,
  words: readonly string[],
  act: (selection: Selection) => Promise<Done & { readonly next: string | null }>,
): Promise<Done> {
  const progress = new ProgressLine(io.stderr, io.stderr.isTTY === true, () => performance.now());
  const done = { matched: 0, changed: 0 };
  const reason = options.reason === undefined ? {} : { reason: options.reason };
  const ids = wordsOf(words);
  const add = (page: Done): void => {
    done.matched += page.matched;
    done.changed += page.changed;
    progress.show(`${counted(done.matched, "asset")}, ${done.changed} changed`);
  };
  try {
    for (let at = 0; at < ids.length; at += PER_CALL) {
      io.signal.throwIfAborted();
      add(await act({ ids: ids.slice(at, at + PER_CALL), limit: PER_CALL, ...reason }));
    }
    for (let after: string | null | undefined = ids.length > 0 ? null : undefined; after !== null;) {
      io.signal.throwIfAborted();
      const filter = assetFilterOf(options);
      const page = await act({ filter, limit: PER_CALL, ...reason, ...(after !== undefined && { after }) });
      add(page);
      after = page.next;
    }
  } catch (error) {
    progress.clear();
    if (done.matched > 0) answer.say(`It broke off after ${describeDone(done)} Running it again is safe.`);
    throw error;
  }
  progress.clear();
  return done;
}

function describeDone({ matched, changed }: Done): string {
  return `${counted(matched, "asset")}, ${changed} changed.`;
}

type Requeued = RouterOutputs["asset"]["requeue"]["assets"][number];

const REQUEUED: Listing<Requeued> = {
  columns: [
    { name: "id", title: "id" },
    { name: "path", title: "path" },
    { name: "failureCode", title: "last failure" },
    { name: "failedAtMs", title: "at", text: ({ failedAtMs }) => showTime(failedAtMs) },
  ],
  none: "No asset waits that matches.",
};

type RequeueOptions = {
  readonly state: "review" | "gone";
  readonly dataset?: string;
  readonly node?: NodeId;
  readonly class?: "origin" | "network" | "node" | "asset";
  readonly older?: number;
  readonly newer?: number;
  readonly limit?: number;
  readonly dryRun?: boolean;
  readonly reason?: string;
};

function addRequeue(program: Command, run: Runner): void {
  program
    .command("requeue")
    .description("want assets once more that wait for a person, by what failed, when and where")
    .addOption(new Option("--state <state>", "where they wait").choices(["review", "gone"]).default("review"))
    .option("--dataset <key>", "only of this dataset")
    .option("--node <id>", "only those on which this node failed last")
    .addOption(
      new Option("--class <class>", "only those whose last failure was of this class").choices([
        "origin",
        "network",
        "node",
        "asset",
      ]),
    )
    .addOption(new Option("--older <duration>", "only those whose last failure is longer ago").argParser(parseDuration))
    .addOption(
      new Option("--newer <duration>", "only those whose last failure is no longer ago").argParser(parseDuration),
    )
    .addOption(limitOption())
    .option("--dry-run", "tell what would be wanted again, 1,000 at most, and change nothing")
    .addOption(reasonOption())
    .addHelpText(
      "after",
      examples(
        "requeue --dry-run",
        "requeue --class network --newer 2d --reason 'the proxy was down'",
        "requeue --state gone --dataset noaa --older 30d",
      ),
    )
    .action(
      run.client<RequeueOptions>(async ({ client, answer, io }, options) => {
        const { state, dataset, node, older, newer, limit = Infinity, dryRun = false, reason } = options;
        const asked = {
          state,
          dryRun,
          ...(dataset !== undefined && { dataset }),
          ...(node !== undefined && { nodeId: node }),
          ...(options.class !== undefined && { failureClass: options.class }),
          ...(older !== undefined && { olderThanMs: older }),
          ...(newer !== undefined && { newerThanMs: newer }),
          ...(reason !== undefined && { reason }),
        };
        let total = 0;
        let hasMore = false;
        const pages = async function* (): AsyncGenerator<readonly Requeued[]> {
          for (;;) {
            io.signal.throwIfAborted();
            const page = await client.asset.requeue.mutate({ ...asked, limit: Math.min(PER_CALL, limit - total) });
            total += page.assets.length;
            hasMore = page.hasMore;
            yield page.assets;
            // What is wanted again waits no more, so the next call finds others; a dry run would find the same.
            if (!hasMore || dryRun || total >= limit) return;
          }
        };
        await answer.list(REQUEUED, pages());
        if (total === 0) return;
        const more = hasMore ? " There are more." : "";
        answer.say(
          `${counted(total, "asset")} ${dryRun ? "would be wanted again; nothing was changed." : "wanted again."}${more}`,
        );
      }),
    );
}
