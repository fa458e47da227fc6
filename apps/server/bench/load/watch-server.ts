/** What the server says of itself while others ask it: memory, and how late it comes to what is due. */
import { setTimeout as pause } from "node:timers/promises";

export type Sample = {
  readonly atMs: number;
  readonly rssBytes: number;
  /** Used since it started. */
  readonly cpuS: number;
  readonly latenessMs: number;
  readonly requests: number;
  /** Of the scrape itself, which is answered when nothing else is. */
  readonly scrapeMs: number;
};

const EVERY_MS = 1_000;

export async function sample(url: string, sinceMs: number): Promise<Sample> {
  const askedAtMs = performance.now();
  const response = await fetch(`${url}/metrics`);
  const text = await response.text();
  if (!response.ok) throw new Error(`/metrics answered ${response.status}: ${text.slice(0, 200)}`);
  const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);
  return {
    atMs: askedAtMs - sinceMs,
    rssBytes: value("process_resident_memory_bytes"),
    cpuS: value("process_cpu_seconds_total"),
    latenessMs: value("dispatcher_lateness_seconds") * 1000,
    requests: value("dispatcher_requests_in_progress"),
    scrapeMs: performance.now() - askedAtMs,
  };
}

/** Sampled until `signal` aborts. */
export async function watchServer(url: string, signal: AbortSignal): Promise<readonly Sample[]> {
  const sinceMs = performance.now();
  const samples: Sample[] = [];
  while (!signal.aborted) {
    samples.push(await sample(url, sinceMs));
    await pause(EVERY_MS, undefined, { signal }).catch(() => {});
  }
  return samples;
}
