import type { RouterOutputs } from "@dispatcher/client";
import { Option } from "commander";
import type { Command } from "commander";
import type { Column } from "../answer.ts";
import { showRemaining } from "../format.ts";
import { DAY_MS, examples, parseCount, parseDuration, reasonOption } from "../options.ts";
import { PageReader, readServerTime } from "../pages.ts";
import type { Runner } from "../session.ts";

type Token = RouterOutputs["token"]["list"]["tokens"][number];

function columnsAt(nowMs: number): readonly Column<Token>[] {
  return [
    { name: "id", title: "id" },
    { name: "operator", title: "operator" },
    { name: "state", title: "state" },
    { name: "usesLeft", title: "uses left" },
    { name: "usesTaken", title: "joined" },
    { name: "createdAtMs" },
    { name: "expiresAtMs", title: "ends", text: ({ expiresAtMs }) => showRemaining(expiresAtMs, nowMs) },
    { name: "revokedAtMs" },
    { name: "madeBy", title: "made by" },
  ];
}

type CreateOptions = {
  readonly operator: string;
  readonly uses: number;
  readonly life: number;
  readonly reason?: string;
};

/** `admin tokens`, `admin token create|revoke`: who may join. */
export function addTokens(program: Command, run: Runner): void {
  program
    .command("tokens")
    .description("join tokens that still let somebody in, without the secrets")
    .option("--all", "those that are used up, revoked or past their time as well")
    .addHelpText("after", examples("tokens", "tokens --all"))
    .action(
      run.client<{ readonly all?: true }>(async ({ client, answer }, { all = false }) => {
        const pages = new PageReader<Token>(async ({ limit, after }) => {
          const { tokens, next } = await client.token.list.query({
            all,
            limit,
            ...(after !== undefined && { after }),
          });
          return { rows: tokens, next };
        });
        const none = "There is no join token. Make one: pnpm admin token create --operator NAME";
        await answer.list({ columns: columnsAt(await readServerTime(client)), none }, pages);
      }),
    );

  const token = program.command("token").description("join tokens");
  token
    .command("create")
    .description("make a join token; it is shown this once, on a line of its own")
    .requiredOption(
      "--operator <name>",
      "the person or organisation whose nodes join with it; copies are spread over operators",
    )
    .option("--uses <count>", "nodes that may join with it", parseCount, 1)
    .addOption(
      new Option("--life <duration>", "how long it is valid: 30m, 12h, 7d")
        .argParser(parseDuration)
        .default(7 * DAY_MS, "7d"),
    )
    .addOption(reasonOption())
    .addHelpText(
      "after",
      examples(
        "token create --operator 'Library of Alexandria'",
        "token create --operator Ada --uses 3 --life 30d > token.txt",
      ),
    )
    .action(
      run.client<CreateOptions>(async ({ client, answer }, { operator, uses, life, reason }) => {
        const input = { operator, uses, lifeMs: life, ...(reason !== undefined && { reason }) };
        const made = await client.token.create.mutate(input);
        await answer.one(made, made.joinToken);
        const ends = showRemaining(life, 0);
        answer.say(
          `Join token ${made.id}, good for ${made.uses} node(s) of ${made.operator}, for ${ends}. It is shown this once.`,
        );
      }),
    );
  token
    .command("revoke <id>")
    .description("let nobody join with it any more; nodes that did stay")
    .addOption(reasonOption())
    .addHelpText("after", examples("token revoke 7 --reason 'posted in public'"))
    .action(
      run.client<{ readonly reason?: string }>(async ({ client, answer }, { reason }, id = "") => {
        const done = await client.token.revoke.mutate({
          id,
          ...(reason !== undefined && { reason }),
        });
        const { revoked } = done;
        await answer.one(done, revoked.length === 0 ? "It was revoked before." : `Revoked: ${revoked.join(", ")}.`);
      }),
    );
}
