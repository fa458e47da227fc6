/** What each command is given, and how it is run to its end. */
import type { DispatcherClient } from "@dispatcher/client";
import type { Command } from "commander";
import { Answer } from "./answer.ts";
import type { OutputFormat } from "./answer.ts";
import { openDoor } from "./door.ts";
import type { Door, DoorOptions, LocalDoor } from "./door.ts";
import { UsageFault, askOnTerminal, untilStopped } from "./io.ts";
import type { Io } from "./io.ts";

/** Of every command; they may stand before or behind its name. */
export type GlobalOptions = DoorOptions & { readonly output: OutputFormat };

export type Session = {
  readonly client: DispatcherClient;
  readonly answer: Answer;
  readonly io: Io;
};

/** With the database itself in place of any way to it. */
export type LocalSession = Session & LocalDoor;

/** Answers the exit status; nothing is 0. */
type Action<Given, Options> = (session: Given, options: Options, ...words: string[]) => Promise<number | void>;
/** Before anything is opened. @throws UsageFault */
type Check<Options> = (options: Options, ...words: string[]) => void;
type CommanderAction = Parameters<Command["action"]>[0];

export class Runner {
  readonly #io: Io;
  /** What the process ends with. */
  exitStatus = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  /** A command that works both ways, and may be left at any moment: a call that is under way then is carried out or not. */
  client<Options>(action: Action<Session, Options & GlobalOptions>, check?: Check<Options>): CommanderAction {
    return this.#command((given, words) => {
      const options = given as Options & GlobalOptions;
      check?.(options, ...words);
      return this.#through(options, ({ client }, answer) =>
        untilStopped(action({ client, answer, io: this.#io }, options, ...words), this.#io.signal),
      );
    });
  }

  /** As `client`, but it minds `io.signal` itself, because it has more to say than that it was stopped. */
  clientToItsEnd<Options>(action: Action<Session, Options & GlobalOptions>, check?: Check<Options>): CommanderAction {
    return this.#command((given, words) => {
      const options = given as Options & GlobalOptions;
      check?.(options, ...words);
      return this.#through(options, ({ client }, answer) =>
        action({ client, answer, io: this.#io }, options, ...words),
      );
    });
  }

  /** A command on the database alone, which minds `io.signal` itself. */
  database<Options>(action: Action<LocalSession, Options & GlobalOptions>, check?: Check<Options>): CommanderAction {
    return this.#command((given, words, name) => {
      const options = given as Options & GlobalOptions;
      if (options.url !== undefined) {
        throw new UsageFault(`${name} works on the database itself, with the server's settings: leave --url out.`);
      }
      check?.(options, ...words);
      return this.#through(options, ({ client, local }, answer) =>
        action({ client, answer, io: this.#io, ...(local as LocalDoor) }, options, ...words),
      );
    });
  }

  /** A command that opens what it needs by itself. */
  alone<Options>(action: Action<Omit<Session, "client">, Options & GlobalOptions>): CommanderAction {
    return this.#command((options, words) =>
      action(
        { answer: new Answer(this.#io, options.output), io: this.#io },
        options as Options & GlobalOptions,
        ...words,
      ),
    );
  }

  #command(run: (options: GlobalOptions, words: string[], name: string) => Promise<number | void>): CommanderAction {
    return async (...given: unknown[]) => {
      const command = given.at(-1) as Command;
      const options = command.optsWithGlobals<GlobalOptions>();
      if (options.url === undefined && (options.key !== undefined || options.keyFile !== undefined)) {
        throw new UsageFault(
          "A key opens a server: name one with --url, or leave the key out to work on the database.",
        );
      }
      this.exitStatus = (await run(options, given.slice(0, -2) as string[], command.name())) ?? 0;
    };
  }

  async #through(
    options: GlobalOptions,
    run: (door: Door, answer: Answer) => Promise<number | void>,
  ): Promise<number | void> {
    const answer = new Answer(this.#io, options.output);
    const door = await openDoor(options, this.#io);
    try {
      return await run(door, answer);
    } finally {
      await door.close();
    }
  }
}

/** Refuse an act that cannot be undone, unless somebody has said yes beforehand or can be asked. @throws UsageFault */
export function requireConsent({ stdin }: Io, { yes }: { readonly yes?: boolean | undefined }): void {
  if (yes === true || stdin.isTTY === true) return;
  throw new UsageFault("This cannot be undone, and there is no terminal to ask on: add --yes if it is meant.");
}

/** Ask unless it was said beforehand. Answers whether to go on; says so where not. */
export async function confirm(
  { io, answer }: Pick<Session, "io" | "answer">,
  question: string,
  { yes }: { readonly yes?: boolean | undefined },
): Promise<boolean> {
  if (yes === true || (await askOnTerminal(io, question))) return true;
  answer.say("Nothing was changed.");
  return false;
}
