/**
 * The shapes in which the rescue system spoke before there was tRPC. Sizes are GB and MB of 1024 here and nowhere else:
 * 1 GB = 2^30 bytes, 1 MB = 2^20 bytes. What is not named is passed over, as it always was.
 */
import { FAILURE_CODES } from "@dispatcher/core";
import { z } from "zod";
import { AssetIdShape, Name, NodeIdShape, ReportedDigestShape, Sha256Hex, SizeBytes, storableText } from "./common.ts";

export const BYTES_PER_GB = 2 ** 30;
export const BYTES_PER_MB = 2 ** 20;

/** Largest whole number of GB whose bytes are exact. */
const GB_MAX = Number.MAX_SAFE_INTEGER / BYTES_PER_GB;

/** An id as text, or as a number where it is one that JSON keeps exactly. */
function idOrNumber<Id extends z.ZodType<string, string>>(id: Id) {
  return z.union([id, z.int().min(0).max(Number.MAX_SAFE_INTEGER).transform(String).pipe(id)]);
}

export const DispatchInput = z.object({
  /** Of the node; unique among its operator's. */
  name: Name,
  /** For people. */
  description: storableText(1000),
  /** What the machine has free now, and offers: all of it. */
  free_space_gb: z.number().min(0).max(GB_MAX),
  /** As the first answer told it. */
  node_id: idOrNumber(NodeIdShape).nullish(),
});

/** As `/dispatch` lists it. */
export const RescueAsset = z.object({
  /** The path of the file within its dataset. */
  path: z.string(),
  /** The last part of the path. */
  name: z.string(),
  /** The place in this list: 1 is to be saved first. */
  priority: z.int().min(1),
  /** Null where nobody knows it yet. */
  size_mb: z.number().nullable(),
  /** The dataset's key. */
  ds_id: z.string(),
  /** The same as asset_id: an entry of a catalog is one file here. */
  res_id: z.string(),
  asset_id: z.string(),
  url: z.string(),
  /** Empty: the file is to be fetched from its URL. */
  magnet_link: z.string(),
  status: z.literal("PENDING"),
});

export const DispatchOutput = z.object({
  status: z.literal("success"),
  message: z.string(),
  /** The request as it was sent; a node_id that was missing is filled in. */
  received_data: z.object({
    name: z.string(),
    description: z.string(),
    free_space_gb: z.number(),
    node_id: z.union([z.string(), z.number()]),
  }),
  /** All that the node has open, with what was added now; most urgent first. Never empty. */
  asset: z.array(RescueAsset),
});

/** Assets one call may report. */
export const RESCUES_PER_CALL_MAX = 1000;

export const ReportedAsset = z.object({
  asset_id: idOrNumber(AssetIdShape),
  status: z.enum(["SUCCESS", "FAIL"]),
  /** Where others can get it; empty for nowhere. */
  magnet_link: storableText(4096),
  path: storableText(4096).optional(),
  name: storableText(4096).optional(),
  priority: z.number().optional(),
  size_mb: z.number().min(0).nullish(),
  ds_id: z.union([storableText(200), z.number()]).nullish(),
  res_id: z.union([storableText(200), z.number()]).nullish(),
  url: storableText(4096).optional(),
  /** Of the stored file. Without it nobody can tell what was saved, and a SUCCESS is not committed. */
  sha256: Sha256Hex.optional(),
  /** Of the stored file; without it size_mb is taken, where it is a whole number of bytes. */
  size_bytes: SizeBytes.optional(),
  /** By the algorithm the catalog declares, where that is not SHA-256. */
  digest: ReportedDigestShape.optional(),
  /** Why it failed; without it the network is blamed, which is neither the origin's fault nor the node's. */
  failure_code: z.enum(FAILURE_CODES).optional(),
});

export const AssetsDownloadedInput = z.object({
  /** The node's id. */
  rescuer_id: idOrNumber(NodeIdShape),
  /** For people. */
  message: storableText(500),
  assets: z.array(ReportedAsset).max(RESCUES_PER_CALL_MAX),
});

const Rescue = z.object({
  asset_id: z.string(),
  rescuer_id: z.string(),
  magnet_link: z.string(),
  status: z.enum(["SUCCESS", "FAIL"]),
});

/** As it was sent. */
const EchoedAsset = z.record(z.string(), z.unknown());

export const AssetsDownloadedOutput = z.object({
  status: z.literal("success"),
  message: z.string(),
  received_data: z.object({
    rescuer_id: z.union([z.string(), z.number()]),
    message: z.string(),
    assets: z.array(EchoedAsset),
  }),
  /** The assets of the request. */
  asset: z.array(EchoedAsset),
  /** Known before, and said again. */
  updated_rescues: z.array(Rescue),
  /** New, and committed. */
  inserted_rescues: z.array(Rescue),
  /** Not taken, each with the code of an error and why. */
  not_committed_rescues: z.array(Rescue.extend({ code: z.string(), reason: z.string() })),
});
