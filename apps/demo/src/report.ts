import type { CatalogFile } from "./catalog.ts";
import { countOf, formatBytes, formatSeconds } from "./format.ts";
import type { NodeHome, StoredFile } from "./stored-files.ts";
import type { Paint } from "./view.ts";

/** What was rescued, as found on the disks. It goes out as one line of JSON: names and meanings stay as they are. */
export type DemoReport = {
  readonly ok: boolean;
  /** Files in the catalog, and their bytes once each. */
  readonly assets: number;
  readonly catalogBytes: number;
  readonly copiesEach: number;
  /** Intact files on the nodes' disks, and their bytes. */
  readonly copies: number;
  readonly bytes: number;
  /** Files of the catalog that fewer operators hold intact than asked. */
  readonly lost: number;
  /** Stored files whose size or digest is not what the catalog declares. */
  readonly mismatched: number;
  /** Leases that ended without a copy and were granted to another node: the highest count of the server. */
  readonly reassigned: number;
  /** Null when no node was killed. */
  readonly killed: Kill | null;
  readonly originPeak: number;
  readonly budget: number;
  readonly originRequests: number;
  readonly originBytes: number;
  readonly wallMs: number;
  readonly nodes: readonly NodeTotal[];
  /** Each a sentence; empty when all is well. */
  readonly missing: readonly string[];
};

export type Kill = {
  readonly node: string;
  /** The file it was in the middle of. */
  readonly path: string;
  /** Null until one of its leases was granted to another node. */
  readonly takeover: { readonly path: string; readonly node: string } | null;
  /** It was started again and has synced since. */
  readonly isBack: boolean;
};

export type NodeTotal = {
  readonly name: string;
  readonly operator: string;
  /** Intact ones. */
  readonly files: number;
  readonly bytes: number;
};

export type Findings = {
  readonly files: readonly CatalogFile[];
  readonly copiesEach: number;
  readonly homes: readonly NodeHome[];
  readonly stored: readonly StoredFile[];
  /** Copies the server counts, by path: it must not claim what is not there. */
  readonly claimedByPath: ReadonlyMap<string, number>;
  readonly reassigned: number;
  readonly kill: Kill | null;
  readonly origin: {
    readonly concurrencyPeak: number;
    readonly budget: number;
    readonly requests: number;
    readonly bytesServed: number;
  };
  readonly wallMs: number;
  /** What went wrong on the way, each a sentence. */
  readonly mishaps: readonly string[];
};

const NAMES_SHOWN = 5;

/** Judge what was found. Pure. */
export function makeReport(findings: Findings): DemoReport {
  const { files, copiesEach, homes, stored, claimedByPath, reassigned, kill, origin } = findings;
  const intact = stored.filter(({ isIntact }) => isIntact);
  const operatorsOf = (path: string): number =>
    new Set(intact.filter((file) => file.path === path).map(({ operator }) => operator)).size;
  const lost = files.filter(({ path }) => operatorsOf(path) < copiesEach);
  const overstated = files.filter(({ path }) => operatorsOf(path) < (claimedByPath.get(path) ?? 0));
  const mismatched = stored.filter(({ isIntact }) => !isIntact);

  const missing = [...findings.mishaps];
  if (lost.length > 0) {
    const named = lost.map(({ path }) => `${path} (${operatorsOf(path)} of ${copiesEach})`);
    missing.push(
      `${countOf(lost.length, "file")} without ${copiesEach} intact copies of different operators: ${some(named)}.`,
    );
  }
  if (mismatched.length > 0) {
    const named = mismatched.map(({ node, place }) => `${place} on ${node}`);
    missing.push(`${countOf(mismatched.length, "stored file")} not as the catalog declares: ${some(named)}.`);
  }
  if (overstated.length > 0) {
    const named = overstated.map(({ path }) => path);
    missing.push(
      `The server counts copies of ${countOf(overstated.length, "file")} that are not on disk: ${some(named)}.`,
    );
  }
  if (kill === null) missing.push("No node was killed in the middle of a file.");
  else if (kill.takeover === null)
    missing.push(`No lease of ${kill.node} was granted to another node after it was killed.`);
  else if (!kill.isBack) missing.push(`${kill.node} did not come back after it was started again.`);
  if (kill !== null && reassigned < 1) missing.push("The server counts no reassigned lease.");
  if (origin.concurrencyPeak > origin.budget) {
    missing.push(`The origin saw ${origin.concurrencyPeak} fetches at once, above its budget of ${origin.budget}.`);
  }

  return {
    ok: missing.length === 0,
    assets: files.length,
    catalogBytes: sumOf(files),
    copiesEach,
    copies: intact.length,
    bytes: sumOf(intact),
    lost: lost.length,
    mismatched: mismatched.length,
    reassigned,
    killed: kill,
    originPeak: origin.concurrencyPeak,
    budget: origin.budget,
    originRequests: origin.requests,
    originBytes: origin.bytesServed,
    wallMs: Math.round(findings.wallMs),
    nodes: homes.map(({ name, operator }) => {
      const held = intact.filter(({ node }) => node === name);
      return { name, operator, files: held.length, bytes: sumOf(held) };
    }),
    missing,
  };
}

function sumOf(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function some(names: readonly string[]): string {
  const rest = names.length - NAMES_SHOWN;
  return names.slice(0, NAMES_SHOWN).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** The report for people, several lines. */
export function describeReport(report: DemoReport, paint: Paint): string {
  const { killed } = report;
  const nameColumn = Math.max(...report.nodes.map(({ name, operator }) => `${name} (${operator})`.length));
  const verdict = report.ok
    ? paint("green", "Rescued: every file has its copies, and every byte was read back and is right.")
    : paint("red", "Not complete. What is missing:");
  const facts: readonly (readonly [string, string])[] = [
    ["assets", `${countOf(report.assets, "file")}, ${formatBytes(report.catalogBytes)}`],
    [
      "copies",
      `${report.copies} intact on disk, ${report.copiesEach} wanted of each file, ${formatBytes(report.bytes)}`,
    ],
    ["lost", `${report.lost}, mismatched ${report.mismatched}`],
    ...report.nodes.map(
      ({ name, operator, files, bytes }, index) =>
        [
          index === 0 ? "nodes" : "",
          `${`${name} (${operator})`.padEnd(nameColumn)}  ${countOf(files, "file").padStart(9)}  ${formatBytes(bytes).padStart(8)}`,
        ] as const,
    ),
    ...(killed === null ? [] : [["killed", describeKill(killed)] as const]),
    ["reassigned", countOf(report.reassigned, "lease")],
    [
      "origin",
      `${countOf(report.originRequests, "request")}, ${formatBytes(report.originBytes)}, at most ${report.originPeak} fetches at once, budget ${report.budget}`,
    ],
    ["wall time", formatSeconds(report.wallMs)],
  ];
  return [
    ...facts.map(([title, text]) => `${paint("bold", title.padEnd(10))}  ${text}`),
    "",
    verdict,
    ...report.missing.map((sentence) => `- ${sentence}`),
  ].join("\n");
}

function describeKill({ node, path, takeover }: Kill): string {
  const then = takeover === null ? "" : `; ${takeover.path} went to ${takeover.node}`;
  return `${node} in the middle of ${path}${then}`;
}
