/**
 * What the nodes of a fleet did and heard, in a file that only grows: to each node it is the journal it starts again from,
 * and to the test it is the other side of the story that the database tells. What is appended outlives a SIGKILL.
 */
import { closeSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";

export type ReportKind = "finished" | "failed" | "released";

type LeaseRef = { readonly assignmentId: string; readonly term: number };
/** When the call was sent whose reply said it: what a reply tells was true at some time between the two. */
type Heard = { readonly sentAtMs: number };

export type FleetEvent =
  | { readonly event: "joined"; readonly name: string; readonly key: string; readonly offeredBytes: number }
  | { readonly event: "started" }
  | { readonly event: "died" }
  | (LeaseRef &
      Heard & {
        readonly event: "granted";
        readonly assetId: string;
        readonly url: string;
        readonly reservedBytes: number;
        readonly expiresAtMs: number;
      })
  | (LeaseRef & Heard & { readonly event: "leased"; readonly reservedBytes: number; readonly expiresAtMs: number })
  | (Heard & { readonly event: "cancelled"; readonly assignmentId: string })
  | (LeaseRef & { readonly event: "fetching" })
  /** The fetch is over; the report follows with the next call, and with every one after it until it is answered. */
  | (LeaseRef & { readonly event: "ended"; readonly kind: ReportKind })
  | (LeaseRef & {
      readonly event: "answered";
      readonly kind: ReportKind;
      readonly outcome: "accepted" | "repeated" | "rejected";
      readonly code?: string;
      readonly server: string;
    })
  /** A server answered that it has a fault of its own. */
  | { readonly event: "faulted"; readonly message: string; readonly server: string };

export type FleetEntry = FleetEvent & { readonly atMs: number; readonly node: string };

/** All whole entries of a log, in the order in which they were written; none where there is no file yet. */
export function readFleetLog(path: string): readonly FleetEntry[] {
  return wholeLines(path)
    .text.split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as FleetEntry);
}

export type FleetLog = Disposable & {
  /** Those that were there, and those appended since. */
  entriesOf(node: string): readonly FleetEntry[];
  nodes(): readonly string[];
  append(entries: readonly FleetEntry[]): void;
};

/** Open a log to go on with it. A line that a kill cut short is taken away: nobody has acted upon it. */
export function openFleetLog(path: string): FleetLog {
  const { sizeBytes } = wholeLines(path);
  const file = openSync(path, "a");
  truncateSync(path, sizeBytes);
  const entriesByNode = Map.groupBy(readFleetLog(path), (entry) => entry.node);
  return {
    entriesOf: (node) => entriesByNode.get(node) ?? [],
    nodes: () => [...entriesByNode.keys()],
    append: (entries) => {
      if (entries.length === 0) return;
      writeSync(file, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
      for (const entry of entries) {
        const known = entriesByNode.get(entry.node);
        if (known === undefined) entriesByNode.set(entry.node, [entry]);
        else known.push(entry);
      }
    },
    [Symbol.dispose]: () => closeSync(file),
  };
}

function wholeLines(path: string): { readonly text: string; readonly sizeBytes: number } {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { text: "", sizeBytes: 0 };
    throw error;
  }
  const sizeBytes = bytes.lastIndexOf("\n") + 1;
  return { text: bytes.toString("utf8", 0, sizeBytes), sizeBytes };
}
