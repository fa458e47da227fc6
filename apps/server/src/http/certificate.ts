/** The certificate of HTTPS: read at the start, and again when its files change, so that a renewal needs no restart. */
import { readFileSync, statSync } from "node:fs";
import type { Server } from "node:https";
import { createSecureContext } from "node:tls";
import { DispatcherError } from "@dispatcher/core";
import type { ServerConfig } from "../config.ts";
import type { Log } from "../log.ts";

export type Certificate = { readonly cert: Buffer; readonly key: Buffer };

/** Files are looked at, not watched: renewals swap links and mounts, of which no watcher hears. */
const LOOK_MS = 10_000;

type Paths = { readonly certFile: string; readonly keyFile: string };

function pathsOf({ DISPATCHER_TLS_CERT_FILE: certFile, DISPATCHER_TLS_KEY_FILE: keyFile }: ServerConfig): Paths | null {
  return certFile === undefined || keyFile === undefined ? null : { certFile, keyFile };
}

/** Null without one: plain HTTP. @throws DispatcherError CONFIG_INVALID when it cannot be read or is no pair */
export function readCertificate(config: ServerConfig): Certificate | null {
  const paths = pathsOf(config);
  return paths === null ? null : readPair(paths);
}

function readPair({ certFile, keyFile }: Paths): Certificate {
  const certificate = { cert: readPem(certFile, "CERT"), key: readPem(keyFile, "KEY") };
  try {
    createSecureContext(certificate);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DispatcherError(
      "CONFIG_INVALID",
      `The certificate ${certFile} cannot be used with the key ${keyFile}: ${reason}.`,
      { cause },
    );
  }
  return certificate;
}

function readPem(path: string, which: "CERT" | "KEY"): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
    throw new DispatcherError("CONFIG_INVALID", `DISPATCHER_TLS_${which}_FILE=${path} cannot be read (${code}).`, {
      cause,
    });
  }
}

/** What changes whenever the files do, also when a link leads to another file of the same age. */
function stateOf({ certFile, keyFile }: Paths): string {
  return [certFile, keyFile]
    .map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      return stat === undefined ? "none" : `${stat.dev} ${stat.ino} ${stat.mtimeMs} ${stat.size}`;
    })
    .join(" ");
}

export type CertificateWatch = {
  readonly config: ServerConfig;
  readonly log: Log;
  readonly servers: readonly Pick<Server, "setSecureContext">[];
  readonly lookMs?: number;
};

/**
 * Use a renewed certificate for new connections. While the two files do not fit each other, in the middle of a renewal or
 * by mistake, the one of before stays. Answers how to stop.
 */
export function watchCertificate({ config, log, servers, lookMs = LOOK_MS }: CertificateWatch): () => void {
  const paths = pathsOf(config);
  if (paths === null) return () => {};
  let state = stateOf(paths);
  const timer = setInterval(() => {
    try {
      const now = stateOf(paths);
      if (now === state) return;
      state = now;
      const certificate = readPair(paths);
      for (const server of servers) server.setSecureContext(certificate);
      log.info({ event: "certificate.renewed" }, "the certificate has changed and is used from now on");
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      log.error({ event: "certificate.unusable" }, `the certificate has changed and is not used: ${message}`);
    }
  }, lookMs);
  timer.unref();
  return () => clearInterval(timer);
}
