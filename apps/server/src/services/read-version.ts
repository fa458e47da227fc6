import type { z } from "zod";
import { readSchemaName } from "../db/queries/state.ts";
import { VERSION } from "../version.ts";
import type { SystemVersionOutput } from "../wire/stats.ts";
import type { Dependencies } from "./dependencies.ts";

/** Which release this is, and of which schema its database. @throws DispatcherError DATABASE_UNAVAILABLE */
export async function readVersion({ db }: Dependencies): Promise<z.output<typeof SystemVersionOutput>> {
  return { version: VERSION, schema: await readSchemaName(db.sql) };
}
