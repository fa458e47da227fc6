/**
 * What a program on the machine of the database may do without a server: the same procedures by a caller, the state as a file,
 * a look at the database itself. The admin command and scripts come in here; it is no part of what the server's own code uses.
 */
export { readCatalog } from "../catalog/read-catalog.ts";
export type { Catalog, CatalogProgress } from "../catalog/read-catalog.ts";
export type { CatalogEntry } from "../catalog/entry.ts";
export type { CatalogFormat } from "../catalog/format.ts";
export { loadConfig, readConfig } from "../config.ts";
export type { ServerConfig } from "../config.ts";
export type { Database } from "../db/database.ts";
export { createLog } from "../log.ts";
export type { Log } from "../log.ts";
export { exportState } from "../state/export-state.ts";
export type { Exported } from "../state/export-state.ts";
export { importState } from "../state/import-state.ts";
export type { ImportTarget, Imported } from "../state/import-state.ts";
export { createStateFile, readStateFile, readStateStream, streamSink } from "../state/state-file.ts";
export { connectStorage, openStorage } from "../storage.ts";
export type { Storage } from "../storage.ts";
export { VERSION } from "../version.ts";
export { ENTRIES_PER_IMPORT_MAX } from "../wire/asset.ts";
export { createAdminCaller, createAdminCallers, fromCaller } from "./caller.ts";
export type { Caller } from "./caller.ts";
export { DUE_COUNTED_MAX, examineDatabase } from "./examine-database.ts";
export type { DatabaseFacts, ServiceFacts } from "./examine-database.ts";
