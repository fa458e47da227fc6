import type { RouterInputs } from "@dispatcher/client";
import { Option } from "commander";
import type { Command } from "commander";

export const ASSET_STATES = ["wanted", "gone", "review", "withdrawn"] as const;

type ListInput = Exclude<RouterInputs["asset"]["list"], void | undefined>;
export type AssetFilter = Pick<ListInput, "dataset" | "origin" | "state" | "incomplete" | "belowMin" | "startsWith">;

/** The conditions by which assets are meant; all that are given hold. */
export function addAssetFilter(command: Command): Command {
  return command
    .option("--dataset <key>", "only of this dataset")
    .option("--origin <host>", "only from this host and port, such as data.example.org:443")
    .addOption(new Option("--state <state>", "only in this state").choices(ASSET_STATES))
    .option("--incomplete", "only those with fewer copies than their target")
    .option("--below-min", "only those with fewer copies than their minimum")
    .option("--starts-with <text>", "only those whose path begins so, or whose URL where there is :// in it");
}

export function assetFilterOf({ dataset, origin, state, incomplete, belowMin, startsWith }: AssetFilter): AssetFilter {
  return {
    ...(dataset !== undefined && { dataset }),
    ...(origin !== undefined && { origin }),
    ...(state !== undefined && { state }),
    ...(incomplete !== undefined && { incomplete }),
    ...(belowMin !== undefined && { belowMin }),
    ...(startsWith !== undefined && { startsWith }),
  };
}
