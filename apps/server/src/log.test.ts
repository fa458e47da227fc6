import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { createLog } from "./log.ts";
import type { Log } from "./log.ts";

function aLog(options: { readonly isTerminal?: boolean; readonly secrets?: readonly string[] } = {}): {
  readonly log: Log;
  readonly text: () => string;
} {
  const destination = new PassThrough();
  let text = "";
  destination.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const { isTerminal = false, secrets = [] } = options;
  return { log: createLog({ level: "DEBUG", isTerminal, destination, secrets }), text: () => text };
}

test("levels have the names that the environment has for them", () => {
  const { log, text } = aLog();
  for (const level of ["debug", "info", "warn", "error"] as const) log[level]({ event: "x" }, "said");
  const levels = text()
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { readonly level: string }).level);
  expect(levels).toEqual(["DEBUG", "INFO", "WARNING", "ERROR"]);
});

const HIDDEN = "hide-this-0123456789";

test.each([
  ["a field", { event: "x", key: HIDDEN }, ""],
  ["a field however deep", { event: "x", a: { b: [{ c: { joinToken: HIDDEN } }] } }, ""],
  ["a field with quotes in it", { event: "x", password: `${HIDDEN}" and "more` }, ""],
  ["a header", { event: "x", request: { headers: { Authorization: `Bearer ${HIDDEN}` } } }, ""],
  ["a list of headers", { event: "x", headers: { "set-cookie": [HIDDEN, HIDDEN] } }, ""],
  ["a URL", { event: "x", url: `postgres://me:${HIDDEN}@db:5432,db2/d` }, ""],
  ["a URL without a user", { event: "x" }, `redis://:${HIDDEN}@cache lost`],
  ["a parameter", { event: "x" }, `GET https://a.example/f?x=1&X-Amz-Signature=${HIDDEN}&y=2`],
  ["a message", { event: "x" }, `refused: Authorization: bearer ${HIDDEN}.`],
  ["a key of ours", { event: "x" }, `the key dsp_node_${HIDDEN} is not known`],
  [
    "an error and its cause",
    { event: "x", err: new Error(`at postgres://a:${HIDDEN}@h`, { cause: new Error(`Bearer ${HIDDEN}`) }) },
    "",
  ],
  ["a setting that is known", { event: "x", said: 'with my "setting"\\' }, 'my "setting"\\'],
])("a secret in %s is cut out, for programs and for people", (_where, fields, message) => {
  for (const isTerminal of [false, true]) {
    const { log, text } = aLog({ isTerminal, secrets: ['my "setting"\\'] });
    log.info(fields, message);
    expect(text()).toContain("[secret]");
    expect(text()).not.toContain(HIDDEN);
    expect(text()).not.toContain("setting");
    if (isTerminal) continue;
    expect(() => JSON.parse(text()) as unknown).not.toThrow();
  }
});

test("what is no secret stays as it is", () => {
  const { log, text } = aLog();
  const fields = {
    event: "asset.list",
    url: "https://data.example:8443/a@b?monkey=1",
    said: "12:30:45",
    keys: 3,
    bearer: "a bearer",
    path: "/trpc/token.create",
  };
  log.info(fields, "the key is missing; user@example.org: key of the asset");
  expect(JSON.parse(text())).toMatchObject({
    ...fields,
    msg: "the key is missing; user@example.org: key of the asset",
  });
});
