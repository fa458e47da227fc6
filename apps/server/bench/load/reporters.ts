/** Nodes at work, as agents are: what was not acknowledged is reported again, with the next sync, until it is. */
import { IDLE } from "../engine/fleet.ts";
import type { SyncInput, SyncOutput } from "../engine/fleet.ts";
import { addressOfNode, post } from "./mix.ts";
import type { Call } from "./mix.ts";
import type { Answer } from "./answer-reader.ts";
import type { Requests } from "./requests.ts";

const WANTS = 2;

type Finished = SyncInput["finished"][number];
type Grant = SyncOutput["grants"][number];

/** What became of the reports of finished copies, by the id of the assignment. */
export type ReportBook = {
  readonly sent: Set<string>;
  readonly acknowledged: Set<string>;
  /** Refused for good, with the code. */
  readonly rejected: Map<string, string>;
};

export class Reporter {
  readonly #key: string;
  readonly #index: number;
  readonly #book: ReportBook;
  #unacknowledged: readonly Finished[] = [];
  /** A node says one thing at a time. */
  isBusy = false;

  constructor(key: string, index: number, book: ReportBook) {
    this.#key = key;
    this.#index = index;
    this.#book = book;
  }

  get isDone(): boolean {
    return this.#unacknowledged.length === 0;
  }

  sync(requests: Requests, hear: (answer: Answer | null) => void, wants = WANTS): void {
    this.isBusy = true;
    const finished = this.#unacknowledged;
    for (const { assignmentId } of finished) this.#book.sent.add(assignmentId);
    const input: SyncInput = { ...IDLE, wants, finished: [...finished] };
    const call: Call = { ...post("/trpc/node.sync", input, addressOfNode(this.#index)), key: this.#key };
    requests.send(call, (answer) => {
      if (answer?.status === 200) this.#hear(answer.text);
      this.isBusy = false;
      hear(answer);
    });
  }

  #hear(text: string): void {
    const { reports, grants } = (JSON.parse(text) as { result: { data: { json: SyncOutput } } }).result.data.json;
    for (const report of reports) {
      if (report.outcome === "accepted") this.#book.acknowledged.add(report.assignmentId);
      else this.#book.rejected.set(report.assignmentId, report.code ?? "");
    }
    const heard = new Set(reports.map((report) => report.assignmentId));
    const left = this.#unacknowledged.filter(({ assignmentId }) => !heard.has(assignmentId));
    this.#unacknowledged = [...left, ...grants.map(toFinished)];
  }
}

function toFinished({ assignmentId, term, asset }: Grant): Finished {
  if (asset.digest === null || asset.sizeBytes === null) throw new Error("The catalog of the bench declares both.");
  const sent = { etag: null, lastModified: null, fetchMs: 1000, fetchedBytes: asset.sizeBytes };
  return { assignmentId, term, sizeBytes: asset.sizeBytes, sha256: asset.digest.hex, digest: null, ...sent };
}
