import type { MockTask } from "../../wire/mock.ts";

/** What public archives of climate data look like from outside. */
const FAMILIES = [
  { host: "www.ncei.noaa.gov", path: "data/global-historical-climatology-network-daily", ext: "csv.gz", mb: 12 },
  { host: "data.giss.nasa.gov", path: "gistemp", ext: "nc", mb: 90 },
  { host: "gml.noaa.gov", path: "aftp/products/carbontracker/co2", ext: "nc", mb: 640 },
  { host: "noaa-goes16.s3.amazonaws.com", path: "ABI-L2-CMIPF", ext: "nc", mb: 25 },
  { host: "edg.epa.gov", path: "data/public/OAR/ghgrp", ext: "zip", mb: 48 },
  { host: "nsidc.org", path: "data/g02135/north/daily", ext: "tif", mb: 3 },
] as const;
const PRIORITIES = ["low", "medium", "high", "urgent"] as const;

/**
 * Made-up tasks, the same for the same seed, one at a time: any number of them costs the memory of one.
 * Sizes are log-normal about what the family is known for, as sizes of files are.
 */
export function* generateTasks(count: number, seed: number): Generator<MockTask> {
  const random = mulberry32(seed);
  for (let index = 0; index < count; index += 1) {
    const family = FAMILIES[Math.floor(random() * FAMILIES.length)] ?? FAMILIES[0];
    const year = 1950 + Math.floor(random() * 75);
    const spread = Math.exp((random() + random() + random() + random() - 2) * 1.7);
    const number = String(index).padStart(7, "0");
    yield {
      task_id: `task-${seed}-${number}`,
      dataset_url: `https://${family.host}/${family.path}/${year}/${number}.${family.ext}`,
      size_mb: Math.max(0.01, Math.round(family.mb * spread * 100) / 100),
      priority: PRIORITIES[Math.floor(random() * PRIORITIES.length)] ?? "low",
    };
  }
}

/** Thirty-two bits of state, 0 up to 1. Source: Tommy Ettinger's mulberry32, public domain. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
