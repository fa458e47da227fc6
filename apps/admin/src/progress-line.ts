/** Terminals: more often is flicker nobody can read. */
const TERMINAL_EVERY_MS = 100;
/** Logs: more often buries everything else. */
const LOG_EVERY_MS = 5_000;

const CARRIAGE_RETURN = "\r";
const ERASE_LINE = "\r\u001B[K";

/** One line that says how far things are: rewritten in place on a terminal, else a new line now and then. */
export class ProgressLine {
  readonly #sink: { write(text: string): unknown };
  readonly #isTerminal: boolean;
  readonly #nowMs: () => number;
  /** A log gets its first line after one interval, so that short work leaves none. */
  #shownMs: number;
  #isVisible = false;

  constructor(sink: { write(text: string): unknown }, isTerminal: boolean, nowMs: () => number) {
    this.#sink = sink;
    this.#isTerminal = isTerminal;
    this.#nowMs = nowMs;
    this.#shownMs = isTerminal ? Number.NEGATIVE_INFINITY : nowMs();
  }

  /** Show `text` if the last one stood long enough. */
  show(text: string): void {
    const atMs = this.#nowMs();
    if (atMs - this.#shownMs < (this.#isTerminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS)) return;
    this.#shownMs = atMs;
    this.#sink.write(this.#isTerminal ? `${ERASE_LINE}${text}${CARRIAGE_RETURN}` : `${text}\n`);
    this.#isVisible = this.#isTerminal;
  }

  /** Make room for other lines. */
  clear(): void {
    if (this.#isVisible) this.#sink.write(ERASE_LINE);
    this.#isVisible = false;
  }
}
