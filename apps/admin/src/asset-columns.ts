import type { RouterOutputs } from "@dispatcher/client";
import type { Column } from "./answer.ts";
import { showBytes } from "./format.ts";

export type Asset = RouterOutputs["asset"]["list"]["assets"][number];

/** Wherever assets are listed. */
export const ASSET_COLUMNS: readonly Column<Asset>[] = [
  { name: "id", title: "id" },
  { name: "dataset", title: "dataset" },
  { name: "path", title: "path" },
  { name: "url" },
  { name: "sizeBytes", title: "size", text: ({ sizeBytes }) => showBytes(sizeBytes) },
  { name: "digestAlgorithm", value: ({ digest }) => digest?.algorithm ?? null },
  { name: "digest", value: ({ digest }) => digest?.hex ?? null },
  { name: "mediaType" },
  { name: "copies", title: "copies", text: ({ copies, copiesTarget }) => `${copies}/${copiesTarget}` },
  { name: "copiesMin" },
  { name: "copiesTarget" },
  { name: "openLeases", title: "leases" },
  { name: "state", title: "state" },
  { name: "priority", title: "priority" },
  { name: "urgency" },
  { name: "removeByMs" },
];
