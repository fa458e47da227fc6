/** Reads the answers of one connection, one at a time: status, body, and whether another may follow. */

export type Answer = {
  readonly status: number;
  readonly text: string;
  /** The server closes the connection behind it. */
  readonly isLast: boolean;
};

const HEAD_END = "\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";
/** Where the status stands in "HTTP/1.1 200 OK". */
const STATUS_AT = 9;

export class AnswerReader {
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Of the whole answer; unknown before its head is there, and for one in chunks. */
  #wholeBytes = Number.NaN;
  #headBytes = 0;
  #head = "";

  /** What has come, of which only `length` bytes count and which is overwritten afterwards; null: more is to come. */
  take(read: Uint8Array, length: number): Answer | null {
    const part = Buffer.from(read.subarray(0, length));
    this.#parts.push(part);
    this.#bytes += length;
    if (this.#headBytes === 0 && !this.#readHead()) return null;
    const isWhole = Number.isNaN(this.#wholeBytes) ? this.#endsWithLastChunk() : this.#bytes >= this.#wholeBytes;
    if (!isWhole) return null;
    const body = this.#joined().subarray(this.#headBytes);
    const text = Number.isNaN(this.#wholeBytes) ? withoutChunks(body) : body.toString("utf8");
    const status = Number(this.#head.slice(STATUS_AT, STATUS_AT + 3));
    const isLast = this.#head.includes("\r\nconnection: close");
    this.#parts = [];
    this.#bytes = 0;
    this.#wholeBytes = Number.NaN;
    this.#headBytes = 0;
    return { status, text, isLast };
  }

  #joined(): Buffer {
    const [first] = this.#parts;
    if (first !== undefined && this.#parts.length === 1) return first;
    const all = Buffer.concat(this.#parts);
    this.#parts = [all];
    return all;
  }

  #readHead(): boolean {
    const all = this.#joined();
    const end = all.indexOf(HEAD_END);
    if (end === -1) return false;
    this.#headBytes = end + HEAD_END.length;
    this.#head = all.toString("latin1", 0, end).toLowerCase();
    const length = /\r\ncontent-length: (\d+)/.exec(this.#head)?.[1];
    this.#wholeBytes = length === undefined ? Number.NaN : this.#headBytes + Number(length);
    return true;
  }

  /** JSON has no line breaks of its own, so nothing else ends so. */
  #endsWithLastChunk(): boolean {
    const all = this.#joined();
    return all.length > this.#headBytes && all.toString("latin1", all.length - LAST_CHUNK.length) === LAST_CHUNK;
  }
}

function withoutChunks(body: Buffer): string {
  const parts: Buffer[] = [];
  for (let place = 0; ;) {
    const end = body.indexOf("\r\n", place);
    const bytes = Number.parseInt(body.toString("latin1", place, end), 16);
    if (end === -1 || !(bytes > 0)) return Buffer.concat(parts).toString("utf8");
    parts.push(body.subarray(end + 2, end + 2 + bytes));
    place = end + 2 + bytes + 2;
  }
}
