/** What the demo shows while it works, as text. Pure: the screen decides where it goes. */
import Table from "cli-table3";
import { formatBytes, formatSeconds } from "./format.ts";
import type { NodeRow, Snapshot, StoryLine } from "./snapshot.ts";

export type Style = "bold" | "dim" | "green" | "red" | "yellow";
/** Colours a text, or leaves it as it is where colours are not wanted. */
export type Paint = (style: Style, text: string) => string;

const BAR_CELLS = 40;
const EVENTS_SHOWN = 8;

/** The whole live view, at most 80 columns wide where names are short. `story` in the order it happened. */
export function renderView(snapshot: Snapshot, story: readonly StoryLine[], paint: Paint): string {
  const { copies, bytes, origin } = snapshot;
  const toDo = Math.max(0, copies.wanted - copies.done - copies.open);
  return [
    `${paint("bold", "copies")}  ${renderBar(copies, paint)}  ${copies.done} of ${copies.wanted}`,
    `        ${copies.done} done + ${copies.open} open + ${toDo} to do`,
    `${paint("bold", "bytes")}   ${formatBytes(bytes.done)} of ${formatBytes(bytes.wanted)}, ${formatBytes(snapshot.bytesPerSecond)}/s, ${formatSeconds(snapshot.elapsedMs)}`,
    `${paint("bold", "origin")}  ${origin.fetches} fetching, peak ${origin.peak}, budget ${origin.budget}`,
    "",
    renderNodes(snapshot.nodes, paint),
    "",
    ...story.slice(-EVENTS_SHOWN).map((line) => renderStoryLine(line, paint)),
  ].join("\n");
}

/** Done, open and to do; every share that is not zero shows at least one cell, so that an open lease is always seen. */
function renderBar({ done, open, wanted }: Snapshot["copies"], paint: Paint): string {
  const cellsOf = (count: number): number => (count === 0 ? 0 : Math.max(1, Math.floor((count / wanted) * BAR_CELLS)));
  const openCells = Math.min(BAR_CELLS, cellsOf(open));
  const doneCells = Math.min(BAR_CELLS - openCells, cellsOf(done));
  const restCells = BAR_CELLS - openCells - doneCells;
  return (
    paint("green", "█".repeat(doneCells)) + paint("yellow", "▒".repeat(openCells)) + paint("dim", "░".repeat(restCells))
  );
}

function renderNodes(nodes: readonly NodeRow[], paint: Paint): string {
  const table = new Table({
    head: ["node", "operator", "life", "held", "offered", "copies", "leases", "last sync"].map((title) =>
      paint("bold", title),
    ),
    colAligns: ["left", "left", "left", "right", "right", "right", "right", "right"],
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    chars: NO_BORDERS,
  });
  for (const node of nodes) {
    table.push([
      node.name,
      node.operator,
      renderLife(node, paint),
      formatBytes(node.heldBytes),
      formatBytes(node.offeredBytes),
      node.copies,
      node.openLeases,
      node.sinceSyncMs === null ? "never" : formatSeconds(Math.max(0, node.sinceSyncMs)),
    ]);
  }
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

const BORDERS =
  "top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right left left-mid mid mid-mid right right-mid middle";
const NO_BORDERS = Object.fromEntries(BORDERS.split(" ").map((part) => [part, ""]));

function renderLife({ life, isKilled }: NodeRow, paint: Paint): string {
  if (isKilled) return paint("red", `${life}, killed`);
  return paint(life === "online" ? "green" : "yellow", life);
}

export function renderStoryLine({ elapsedMs, text }: StoryLine, paint: Paint): string {
  return `${paint("dim", formatSeconds(elapsedMs).padStart(7))}  ${text}`;
}

/** The same in one line, for logs and pipes. */
export function renderProgressLine(snapshot: Snapshot): string {
  const { copies, bytes, origin, nodes } = snapshot;
  const online = nodes.filter(({ life, isKilled }) => life === "online" && !isKilled).length;
  return [
    `${formatSeconds(snapshot.elapsedMs).padStart(7)}  copies ${copies.done} of ${copies.wanted} (${copies.open} open)`,
    `${formatBytes(bytes.done)} of ${formatBytes(bytes.wanted)}, ${formatBytes(snapshot.bytesPerSecond)}/s`,
    `nodes ${online} of ${nodes.length} online`,
    `origin ${origin.fetches} fetching, peak ${origin.peak}, budget ${origin.budget}`,
  ].join("; ");
}
