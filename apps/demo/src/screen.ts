import { styleText } from "node:util";
import { createLogUpdate } from "log-update";
import type { Snapshot, StoryLine } from "./snapshot.ts";
import { renderProgressLine, renderStoryLine, renderView } from "./view.ts";
import type { Paint } from "./view.ts";

/** A pipe or a log wants to know that work goes on, and no more. */
const PROGRESS_LINE_EVERY_MS = 2000;

/** Where the demo shows what it does: a view that is drawn over itself on a terminal, else plain lines. */
export type Screen = Disposable & {
  readonly paint: Paint;
  show(snapshot: Snapshot): void;
  /** Something happened. */
  tell(line: StoryLine): void;
  /** Text that stays, behind the last view. */
  print(text: string): void;
};

export function openScreen(stream: NodeJS.WriteStream): Screen {
  // styleText asks the stream and the environment (NO_COLOR, FORCE_COLOR) whether colours are wanted.
  const paint: Paint = (style, text) => styleText(style, text, { stream });
  return stream.isTTY ? new TerminalScreen(stream, paint) : new PlainScreen(stream, paint);
}

class TerminalScreen implements Screen {
  readonly paint: Paint;
  readonly #stream: NodeJS.WriteStream;
  readonly #update: ReturnType<typeof createLogUpdate>;
  readonly #story: StoryLine[] = [];
  #snapshot: Snapshot | null = null;

  constructor(stream: NodeJS.WriteStream, paint: Paint) {
    this.#stream = stream;
    this.paint = paint;
    this.#update = createLogUpdate(stream);
  }

  show(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#draw();
  }

  tell(line: StoryLine): void {
    this.#story.push(line);
    this.#draw();
  }

  print(text: string): void {
    this.#update.done();
    this.#stream.write(`\n${text}\n`);
  }

  [Symbol.dispose](): void {
    // Gives the cursor back.
    this.#update.done();
  }

  #draw(): void {
    const story = this.#story.map((line) => renderStoryLine(line, this.paint));
    this.#update(this.#snapshot === null ? story.join("\n") : renderView(this.#snapshot, this.#story, this.paint));
  }
}

class PlainScreen implements Screen {
  readonly paint: Paint;
  readonly #stream: NodeJS.WriteStream;
  #shownAtMs = -PROGRESS_LINE_EVERY_MS;

  constructor(stream: NodeJS.WriteStream, paint: Paint) {
    this.#stream = stream;
    this.paint = paint;
  }

  show(snapshot: Snapshot): void {
    if (snapshot.elapsedMs - this.#shownAtMs < PROGRESS_LINE_EVERY_MS) return;
    this.#shownAtMs = snapshot.elapsedMs;
    this.#stream.write(`${renderProgressLine(snapshot)}\n`);
  }

  tell(line: StoryLine): void {
    this.#stream.write(`${renderStoryLine(line, this.paint)}\n`);
  }

  print(text: string): void {
    this.#stream.write(`\n${text}\n`);
  }

  [Symbol.dispose](): void {}
}
