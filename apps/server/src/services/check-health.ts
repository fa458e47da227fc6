import { DispatcherError } from "@dispatcher/core";
import type { z } from "zod";
import type { SystemHealthOutput } from "../wire/stats.ts";
import { VERSION } from "../version.ts";
import type { Dependencies } from "./dependencies.ts";

/** Whether the service can do its work now. Never throws for a database that is away: that is the answer. */
export async function checkHealth({ db }: Dependencies): Promise<z.output<typeof SystemHealthOutput>> {
  try {
    await db.ping();
    return { status: "ok", version: VERSION, database: { status: "ok", message: null } };
  } catch (error) {
    if (!(error instanceof DispatcherError)) throw error;
    return { status: "unavailable", version: VERSION, database: { status: "unavailable", message: error.message } };
  }
}
