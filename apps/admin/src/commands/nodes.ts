import type { RouterOutputs } from "@dispatcher/client";
import type { NodeId } from "@dispatcher/core";
import { Option } from "commander";
import type { Command } from "commander";
import type { Column } from "../answer.ts";
import { counted, showAge, showBytes, showTime } from "../format.ts";
import { UsageFault } from "../io.ts";
import type { Io } from "../io.ts";
import { examples, reasonOption, yesOption } from "../options.ts";
import { readServerTime } from "../pages.ts";
import { confirm, requireConsent } from "../session.ts";
import type { Runner, Session } from "../session.ts";
import { printable, showTable } from "../table.ts";

type Node = RouterOutputs["node"]["list"]["nodes"][number];
type NodeDetail = RouterOutputs["node"]["get"];
type ActOptions = { readonly reason?: string };

const LIVES = ["online", "suspect", "offline", "lost", "retired"] as const;

/** What a coordinator may tell a node to do, and take back. */
const DUTIES = [
  ["drain", "no new work, and its copies are made elsewhere; what it has open goes on"],
  ["undrain", "let a node that drains or leaves work on"],
  ["block", "no work and no trust: its leases are stopped, and its copies do not count"],
  ["unblock", "trust a blocked node again; its copies count once it has listed them"],
] as const;

function columnsAt(nowMs: number): readonly Column<Node>[] {
  return [
    { name: "id", title: "id" },
    { name: "name", title: "node" },
    { name: "operator", title: "operator" },
    { name: "life", title: "life" },
    { name: "duty", title: "duty" },
    { name: "lastSyncMs", title: "last sync", text: ({ lastSyncMs }) => showAge(lastSyncMs, nowMs) },
    { name: "agentVersion" },
    { name: "offeredBytes", title: "offered", text: ({ offeredBytes }) => showBytes(offeredBytes) },
    { name: "marginBytes" },
    { name: "heldBytes", title: "held", text: ({ heldBytes }) => showBytes(heldBytes) },
    { name: "reservedBytes", title: "reserved", text: ({ reservedBytes }) => showBytes(reservedBytes) },
    { name: "freeBytes" },
    { name: "copies", title: "copies" },
    { name: "openLeases", title: "leases" },
    { name: "quota", title: "quota" },
    { name: "rateBytesPerS" },
    { name: "message" },
  ];
}

/** `admin nodes`, `admin node ...`: who takes part. */
export function addNodes(program: Command, run: Runner, io: Io): void {
  program
    .command("nodes")
    .description("the nodes that take part, with their ledgers")
    .addOption(new Option("--life <life>", "only those in this state").choices(LIVES))
    .addHelpText("after", examples("nodes", "nodes --life lost", "nodes -o csv > nodes.csv"))
    .action(
      run.client<{ readonly life?: (typeof LIVES)[number] }>(async ({ client, answer }, { life }) => {
        const { nodes } = await client.node.list.query(life === undefined ? {} : { life });
        const none =
          life === undefined
            ? "No node has joined yet. Make a join token: pnpm admin token create --operator NAME"
            : `No node is ${life}.`;
        await answer.list({ columns: columnsAt(await readServerTime(client)), none }, [nodes]);
      }),
    );

  const node = program.command("node").description("one node");
  node
    .command("get <id>")
    .description("what it has open, and what would be missing without it")
    .addHelpText("after", examples("node get 12", "node get 12 -o json | jq .loss"))
    .action(
      run.client(async ({ client, answer }, _options, id = "") => {
        const found = await client.node.get.query({ id });
        await answer.one(found, describeNode(found, await readServerTime(client), answer.columns));
      }),
    );

  for (const [name, meaning] of DUTIES) {
    node
      .command(`${name} <id>`)
      .description(meaning)
      .addOption(reasonOption())
      .addHelpText("after", examples(`node ${name} 12`, `node ${name} 12 --reason 'the volunteer asked'`))
      .action(
        run.client<ActOptions>(async ({ client, answer }, { reason }, id = "") => {
          const done = await client.node[name].mutate({ id, ...(reason !== undefined && { reason }) });
          await answer.one(done, describeAct(done));
        }),
      );
  }
  node
    .command("retire <id>")
    .description("give it up for good: its copies do not count any more, and its key is refused")
    .addOption(yesOption())
    .addOption(reasonOption())
    .addHelpText(
      "after",
      "\nIt tells what would be missing and asks, as it cannot be undone; --yes says so beforehand.\n" +
        examples("node retire 12", "node retire 12 --yes --reason 'the disk died'"),
    )
    .action(
      run.client<ActOptions & { readonly yes?: boolean }>(
        (session, options, id = "") => retire(session, options, id as NodeId),
        (options) => requireConsent(io, options),
      ),
    );
  node
    .command("message <id> [text]")
    .description("a line for the volunteer, told with each sync until it is replaced")
    .option("--clear", "take it away")
    .addOption(reasonOption())
    .addHelpText("after", examples("node message 12 'Please update the agent.'", "node message 12 --clear"))
    .action(
      run.client<ActOptions & { readonly clear?: boolean }>(
        async ({ client, answer }, { reason }, id = "", text?: string) => {
          const message = text ?? null;
          const done = await client.node.message.mutate({ id, message, ...(reason !== undefined && { reason }) });
          await answer.one(done, describeAct(done));
        },
        ({ clear }, _id, text?: string) => {
          if ((clear === true) === (text !== undefined)) throw new UsageFault("Give a text, or --clear.");
        },
      ),
    );
}

async function retire(
  session: Session,
  { yes, reason }: ActOptions & { readonly yes?: boolean },
  id: NodeId,
): Promise<number> {
  const { client, answer } = session;
  const { name, operator, loss } = await client.node.get.query({ id });
  const missing =
    loss.copies === 0
      ? "Nothing would be missing."
      : `${loss.copies} of its copies would not count any more (${showBytes(loss.bytes)}): ` +
        `${counted(loss.belowMin, "asset")} would come below their minimum, ${loss.lastCopies} would have no copy.`;
  const question = printable(`${missing} Retire node ${id} "${name}" of ${operator} for good?`);
  if (!(await confirm(session, question, { yes }))) return 130;
  const done = await client.node.retire.mutate({ id, ...(reason !== undefined && { reason }) });
  await answer.one(done, describeAct(done));
  return 0;
}

function describeAct({ node, changed }: RouterOutputs["node"]["drain"]): string {
  const told = node.message === null ? "" : `, told "${node.message}"`;
  return printable(`Node ${node.id} "${node.name}": ${node.life}, ${node.duty}${told}${changed ? "" : "; as before"}.`);
}

function describeNode(node: NodeDetail, nowMs: number, columns: number | null): string {
  const { loss, open } = node;
  const facts = showTable(
    ["what", "now"],
    [
      ["id", node.id],
      ["name", node.name ?? ""],
      ["operator", node.operator ?? ""],
      ["life", `${node.life}, ${node.duty}`],
      ["last sync", showAge(node.lastSyncMs, nowMs)],
      ["joined", showTime(node.createdAtMs)],
      ["agent", node.agentVersion],
      ["network", node.network ?? "unknown"],
      ["offered", `${showBytes(node.offeredBytes)}, of it ${showBytes(node.marginBytes)} margin`],
      ["held", `${counted(node.copies, "file")}, ${showBytes(node.heldBytes)}`],
      ["reserved", `${counted(node.openLeases, "lease")} of ${node.quota}, ${showBytes(node.reservedBytes)}`],
      ["disk", `${showBytes(node.freeBytes)} free`],
      ["rate", node.rateBytesPerS === null ? "not measured yet" : `${showBytes(Math.round(node.rateBytesPerS))}/s`],
      ["made", counted(node.verifiedCopies, "right file")],
      ["inventory", node.inventoryWanted ? "wanted: its copies count once it has listed them" : "as on record"],
      ["without it", `${loss.belowMin} below their minimum, ${loss.lastCopies} without a copy`],
      ["message", node.message ?? ""],
    ],
    columns,
  );
  if (open.length === 0) return facts;
  const rows = open.map((one) => [
    one.assetId,
    one.path,
    one.state,
    showBytes(one.bytesDone),
    showBytes(one.reservedBytes),
    showTime(one.expiresAtMs),
  ]);
  return `${facts}\n\n${showTable(["asset", "path", "lease", "done", "reserved", "ends"], rows, columns)}`;
}
