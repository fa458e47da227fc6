import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import type { AssetId, AssignmentId, NodeId } from "@dispatcher/core";
import type { Copy, Grant } from "../../src/assignment-journal.ts";
import { homeAt, prepareHome } from "../../src/home.ts";
import type { Home } from "../../src/home.ts";
import { createLog } from "../../src/log.ts";
import type { Log } from "../../src/log.ts";
import type { NodeFile } from "../../src/node-file.ts";

/** A home with its folders, gone with the test. */
export async function aHome(): Promise<AsyncDisposable & { readonly home: Home }> {
  const folder = await mkdtemp(join(tmpdir(), "agent-home-"));
  const home = homeAt(join(folder, "home"));
  await prepareHome(home);
  return { home, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

export function aNode(node: Partial<NodeFile> = {}): NodeFile {
  return {
    url: "http://127.0.0.1:1",
    nodeId: "1" as NodeId,
    key: "secret-key",
    name: "attic",
    operator: "Library",
    capacityBytes: 2 ** 30,
    marginBytes: 0,
    joinedAtMs: 0,
    ...node,
  };
}

export function aGrant({
  asset,
  ...grant
}: Partial<Omit<Grant, "asset">> & { asset?: Partial<Grant["asset"]> } = {}): Grant {
  return {
    assignmentId: "7" as AssignmentId,
    term: 1,
    reservedBytes: 2 ** 20,
    ...grant,
    asset: {
      id: "70" as AssetId,
      url: "http://127.0.0.1:1/data.csv",
      dataset: "climate",
      path: "data.csv",
      sizeBytes: null,
      digest: null,
      ...asset,
    },
  };
}

export function aCopy(bytes: Buffer, copy: Partial<Copy> = {}): Copy {
  return {
    assetId: "70" as AssetId,
    name: "data.csv",
    sizeBytes: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    digest: null,
    etag: null,
    lastModified: null,
    ...copy,
  };
}

export type LogLine = { readonly event: string; readonly [field: string]: unknown };

/** A log that is kept to be looked at. */
export function aLog(): { readonly log: Log; readonly lines: readonly LogLine[] } {
  const lines: LogLine[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split("\n")) if (line !== "") lines.push(JSON.parse(line) as LogLine);
      done();
    },
  });
  return { log: createLog({ level: "DEBUG", isTerminal: false, destination }), lines };
}
