/** `events --follow`: the log as it grows. */
import { expect, test } from "vitest";
import { WAYS, startWorld } from "./support/world.ts";

/** The targets of copies that the events set, in order. */
function targetsIn(ndjson: string): number[] {
  const lines = ndjson.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const { detail } = JSON.parse(line) as { detail: { after: { copies: { target: number } } } };
    return detail.after.copies.target;
  });
}

test.each(WAYS)("%s, events are told as they come, from one that is named, until Ctrl-C", async (way) => {
  const world = await startWorld();
  await world.addAssets(1);
  const update = (target: number) =>
    world.client.dataset.update.mutate({ key: "noaa", copies: { min: 1, target, max: 99 } });
  await update(10);
  const [first] = (await world.client.event.list.query({ kinds: ["dataset.updated"] })).events;
  await update(11);
  const written: Promise<unknown>[] = [];
  const words = ["events", "--follow", "--kind", "dataset.updated", "--since", String(first?.id), "-o", "ndjson"];
  const { status, out } = await world.admin(way, words, {
    onOut: (text, stop) => {
      // What was written before it listened has come: what is written now comes as well.
      if (written.length === 0) written.push(update(12));
      if (targetsIn(text).includes(12)) stop();
    },
  });
  await Promise.all(written);
  expect(status).toBe(130);
  expect(targetsIn(out)).toEqual([11, 12]);
});

test("over the network it goes on behind what came, when the server dies and is back", async () => {
  const world = await startWorld();
  await world.addAssets(1);
  const update = (target: number) =>
    world.client.dataset.update.mutate({ key: "noaa", copies: { min: 1, target, max: 99 } });
  const [imported] = (await world.client.event.list.query({})).events;
  await update(10);
  const returned: Promise<unknown>[] = [];
  const killAndReturn = async (): Promise<void> => {
    await world.server.kill();
    await world.server.restart();
    await update(11);
  };
  const words = ["events", "-f", "--kind", "dataset.updated", "--since", String(imported?.id), "-o", "ndjson"];
  const { status, out, err } = await world.admin("over the network", words, {
    onOut: (text, stop) => {
      if (returned.length === 0) returned.push(killAndReturn());
      if (targetsIn(text).includes(11)) stop();
    },
  });
  await Promise.all(returned);
  expect(status).toBe(130);
  expect(targetsIn(out)).toEqual([10, 11]);
  expect(err).toMatch(/Trying again\.\n(.*\n)*Connected again\.\n$/);
});

test("as a table each event is a line of its own", async () => {
  const world = await startWorld();
  await world.addAssets(1);
  const [first] = (await world.client.event.list.query({})).events;
  await world.client.origin.pause.mutate({ host: "data.example.org:443", reason: "they \u001B[31masked" });
  const words = ["events", "--follow", "--since", String(first?.id)];
  const { out } = await world.admin("on the database", words, { onOut: (_text, stop) => stop() });
  expect(out).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d+ {2}origin\.paused +admin +.*they .*asked/);
  expect(out).not.toContain("\u001B");
});

test("what has no end takes no limit and no closing bracket", async () => {
  const world = await startWorld();
  for (const words of [
    ["--follow", "--limit", "3"],
    ["--follow", "-o", "json"],
    ["--since", "3"],
  ]) {
    const { status, out, err } = await world.admin("on the database", ["events", ...words]);
    expect({ words, status, out }).toEqual({ words, status: 64, out: "" });
    expect(err).toMatch(/^USAGE: /);
  }
});
