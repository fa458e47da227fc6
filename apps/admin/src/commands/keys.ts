import type { RouterInputs, RouterOutputs } from "@dispatcher/client";
import type { KeyId, NodeId } from "@dispatcher/core";
import { Option } from "commander";
import type { Command } from "commander";
import type { Column } from "../answer.ts";
import { showAge, showRemaining } from "../format.ts";
import { examples, parseDuration, reasonOption } from "../options.ts";
import { PageReader, readServerTime } from "../pages.ts";
import type { Runner } from "../session.ts";

type Key = RouterOutputs["key"]["list"]["keys"][number];
type Role = RouterInputs["key"]["create"]["role"];

function columnsAt(nowMs: number): readonly Column<Key>[] {
  return [
    { name: "id", title: "id" },
    { name: "name", title: "name" },
    { name: "role", title: "role" },
    { name: "operator" },
    { name: "nodeId" },
    {
      name: "node",
      title: "of",
      text: ({ node, operator }) => (node === null ? (operator ?? "") : `${node} (${operator})`),
    },
    { name: "state", title: "state" },
    { name: "createdAtMs" },
    {
      name: "expiresAtMs",
      title: "ends",
      text: ({ expiresAtMs }) => (expiresAtMs === null ? "never" : showRemaining(expiresAtMs, nowMs)),
    },
    { name: "revokedAtMs" },
    { name: "lastUsedAtMs", title: "last used", text: ({ lastUsedAtMs }) => showAge(lastUsedAtMs, nowMs) },
    { name: "madeBy", title: "made by" },
  ];
}

type CreateOptions = {
  readonly role: Role;
  readonly name: string;
  readonly operator?: string;
  readonly node?: NodeId;
  readonly life?: number;
  readonly reason?: string;
};

/** `admin keys`, `admin key create|revoke`: who may call. */
export function addKeys(program: Command, run: Runner): void {
  program
    .command("keys")
    .description("keys that are valid, without the secrets; nodes' own from their join are not among them")
    .option("--all", "those that are revoked or past their time as well")
    .addHelpText("after", examples("keys", "keys --all -o csv"))
    .action(
      run.client<{ readonly all?: true }>(async ({ client, answer }, { all = false }) => {
        const pages = new PageReader<Key>(async ({ limit, after }) => {
          const { keys, next } = await client.key.list.query({
            all,
            limit,
            ...(after !== undefined && { after }),
          });
          return { rows: keys, next };
        });
        const none = "There is no key. Make one: pnpm admin key create --role admin --name NAME";
        await answer.list({ columns: columnsAt(await readServerTime(client)), none }, pages);
      }),
    );

  const key = program.command("key").description("keys to call the server with");
  key
    .command("create")
    .description("make a key; it is shown this once, on a line of its own")
    .addOption(
      new Option("--role <role>", "what it may do; see docs/security.md")
        .choices(["admin", "operator", "node", "viewer"])
        .makeOptionMandatory(),
    )
    .requiredOption("--name <name>", "who or what uses it, for lists")
    .option("--operator <name>", "with the role operator: whose nodes it manages")
    .option("--node <id>", "with the role node: for which one it speaks")
    .addOption(
      new Option("--life <duration>", "how long it is valid: 30m, 12h, 90d; without it, it has no end").argParser(
        parseDuration,
      ),
    )
    .addOption(reasonOption())
    .addHelpText(
      "after",
      examples(
        "key create --role admin --name Grace --life 90d > key.txt",
        "key create --role operator --operator 'Library of Alexandria' --name 'their script'",
        "key create --role viewer --name 'wall screen'",
      ),
    )
    .action(
      run.client<CreateOptions>(async ({ client, answer }, { role, name, operator, node, life, reason }) => {
        const made = await client.key.create.mutate({
          role,
          name,
          ...(operator !== undefined && { operator }),
          ...(node !== undefined && { nodeId: node }),
          ...(life !== undefined && { lifeMs: life }),
          ...(reason !== undefined && { reason }),
        });
        const ends = life === undefined ? "without an end" : `for ${showRemaining(life, 0)}`;
        await answer.one(made, made.key);
        answer.say(`Key ${made.id} "${made.name}" with the role ${made.role}, ${ends}. It is shown this once.`);
      }),
    );
  key
    .command("revoke [id]")
    .description("let a key open nothing any more; or, with --node, all keys of a node")
    .option("--node <id>", "the node whose keys are revoked, the one from its join among them")
    .addOption(reasonOption())
    .addHelpText("after", examples("key revoke 7 --reason 'lost laptop'", "key revoke --node 12"))
    .action(
      run.client<{ readonly node?: NodeId; readonly reason?: string }>(
        async ({ client, answer }, { node, reason }, id?: string) => {
          const done = await client.key.revoke.mutate({
            ...(id !== undefined && { id }),
            ...(node !== undefined && { nodeId: node }),
            ...(reason !== undefined && { reason }),
          });
          await answer.one(done, describeRevoked(done.revoked, node));
        },
      ),
    );
}

function describeRevoked(revoked: readonly KeyId[], node: NodeId | undefined): string {
  if (node === undefined) return revoked.length === 0 ? "It was revoked before." : `Revoked: ${revoked.join(", ")}.`;
  const others = revoked.length === 0 ? "No other key was valid." : `Revoked: ${revoked.join(", ")}.`;
  return `The key that node ${node} joined with opens nothing any more. ${others}`;
}
