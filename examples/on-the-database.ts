/**
 * Without a server in between: the same procedures, called inside this process, on the database that the settings name
 * (DATABASE_URL, or DISPATCHER_DATA_DIR, or else ./.dispatcher). A server may run beside it.
 *
 *   pnpm exec node examples/on-the-database.ts
 *
 * It takes in a small catalog, makes it urgent, and tells what is in danger.
 */
import { createAdminCaller, createLog, fromCaller, loadConfig, openStorage } from "@dispatcher/server/local";

// The settings are those of the server: environment variables and .env, checked all at once.
const { config } = loadConfig(process.env, process.cwd());
const log = createLog({ level: "WARNING", isTerminal: process.stderr.isTTY, destination: process.stderr });

// Opens the database, and brings its schema up to date. The name is shown in pg_stat_activity.
const storage = await openStorage(config, log, "examples/on-the-database");
try {
  // Who has the database needs no key: this is an administrator.
  const dispatcher = createAdminCaller(config, storage, log);

  // Importing is idempotent: run this again, and `unchanged` is 2. A thousand entries may go into one call.
  const entry = { digest: null, mediaType: null, priority: null, removeByMs: null };
  const imported = await dispatcher.asset.import({
    dataset: { key: "example", title: "Two files", sourceUrl: null },
    entries: [
      { ...entry, place: "[0]", path: "sea-ice.csv", url: "https://data.example.org/sea-ice.csv", sizeBytes: 48_000 },
      { ...entry, place: "[1]", path: "tides.csv", url: "https://data.example.org/tides.csv", sizeBytes: null },
    ],
    reason: "trying the example",
  });
  console.log(`${imported.taken} taken, ${imported.unchanged} unchanged`);

  // Of a dataset one wishes something for all its files. The reason stands in the log of events.
  const dataset = await dispatcher.dataset.update({ key: "example", priority: 9, reason: "to be removed on Friday" });
  console.log(`priority ${dataset.priority}, ${dataset.copies.target} copies wanted`);

  // The most urgent first.
  const { belowMin } = await dispatcher.stats.atRisk({ limit: 10 });
  for (const asset of belowMin) {
    console.log(`${asset.path}: ${asset.copies} of ${asset.copiesTarget} copies, priority ${asset.priority}`);
  }
} catch (error) {
  // Behind `fromCaller`, an expected failure is a DispatcherError: its code is for programs, its message for people.
  throw fromCaller(error);
} finally {
  // Our own PostgreSQL stops with the last process that uses it.
  await storage.close();
}
