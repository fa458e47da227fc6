/** Mock mode through its route, with files of scenarios that tests write. */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { expect, onTestFinished, test } from "vitest";
import { curl, startRestApp } from "../../../test/support/rest-app.ts";

const PAYLOAD = { node_id: "node-001", capacity_gb: 100, priority_level: "high" };

type Scenarios = Readonly<Record<string, unknown>>;

async function scenarioFile(
  content: unknown,
): Promise<{ readonly path: string; readonly save: (content: unknown) => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "dispatcher-mock-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "scenarios.json");
  const save = async (next: unknown): Promise<void> => {
    // Aside and renamed, as editors save: nobody meets half a file.
    await writeFile(`${path}.new`, typeof next === "string" ? next : JSON.stringify(next));
    await rename(`${path}.new`, path);
  };
  await save(content);
  return { path, save };
}

function only(scenario: Scenarios): Scenarios {
  return { default: "one", scenarios: [{ name: "one", ...scenario }] };
}

const TASK = { task_id: "t1", dataset_url: "https://example.org/a.nc", size_mb: 1.5, priority: "high" };

function withTask(task_id: string): Scenarios {
  return { assigned_tasks: [{ ...TASK, task_id }] };
}

test("POST /mock_dispatch, byte for byte", async () => {
  const { path } = await scenarioFile(only({ answer: { assigned_tasks: [TASK] } }));
  const rest = await startRestApp({ MOCK_DATA_PATH: path });
  const text =
    `{"status":"success","message":"Payload received and processed","received_data":{"node_id":"node-001",` +
    `"capacity_gb":100,"priority_level":"high"},"mock_data":{"assigned_tasks":[{"task_id":"t1",` +
    `"dataset_url":"https://example.org/a.nc","size_mb":1.5,"priority":"high"}],"estimated_duration":"2 hours",` +
    `"node_status":"active"}}`;
  const { status, text: answered } = await rest.post("/mock_dispatch", PAYLOAD);
  expect([status, answered]).toEqual([200, text]);
  const json = ["--header", "Content-Type: application/json", "--data", JSON.stringify(PAYLOAD)];
  expect(await curl(...json, `${rest.url}/mock_dispatch`)).toEqual({ status: 200, text });
});

test("the file that comes with the server answers small, medium, large, empty, urgent and paused nodes", async () => {
  const rest = await startRestApp({ ENABLE_MOCK_MODE: "true" });
  const answered = async (change: object) => {
    const { body } = await rest.post("/mock_dispatch", { ...PAYLOAD, ...change });
    const data = body["mock_data"] as { assigned_tasks: { task_id: string }[]; node_status: string };
    return `${data.assigned_tasks.length} ${data.assigned_tasks[0]?.task_id ?? "-"} ${data.node_status}`;
  };
  expect(await answered({ capacity_gb: 0.09 })).toBe("0 - active");
  expect(await answered({ capacity_gb: 0.1 })).toBe("2 task-mlo-co2-daily active");
  expect(await answered({ capacity_gb: 49.9 })).toBe("2 task-mlo-co2-daily active");
  expect(await answered({ capacity_gb: 50 })).toBe("3 task-ghcnd-2024 active");
  expect(await answered({ capacity_gb: 2000 })).toBe("250 task-2024-0000000 active");
  expect(await answered({ priority_level: "urgent" })).toBe("3 task-usgcrp-nca5 active");
  expect(await answered({ node_id: "paused-7" })).toBe("0 - paused");
  const { body } = await rest.post("/mock_dispatch", PAYLOAD);
  expect((body["mock_data"] as Scenarios)["estimated_duration"]).toBe("2 hours");
});

test("the first scenario that fits is taken, by all that it names, and the default where none does", async () => {
  const { path } = await scenarioFile({
    default: "rest",
    scenarios: [
      { name: "both", when: { node_id: "^a", priority_level: [1, "low"] }, answer: withTask("both") },
      { name: "name", when: { node_id: "^a" }, answer: withTask("name") },
      { name: "never", answer: withTask("never") },
      { name: "rest", answer: withTask("rest") },
    ],
  });
  const rest = await startRestApp({ MOCK_DATA_PATH: path });
  const taken = async (change: object) => {
    const { text } = await rest.post("/mock_dispatch", { ...PAYLOAD, ...change });
    return /"task_id":"(\w+)"/.exec(text)?.[1];
  };
  expect(await taken({ node_id: "a1", priority_level: 1 })).toBe("both");
  expect(await taken({ node_id: "a1", priority_level: "low" })).toBe("both");
  expect(await taken({ node_id: "a1", priority_level: "1" })).toBe("name");
  expect(await taken({ node_id: "b1", priority_level: 1 })).toBe("rest");
});

test("a header names the scenario; an unknown one is told those that there are", async () => {
  const rest = await startRestApp();
  const by = (scenario: string) => rest.post("/mock_dispatch", PAYLOAD, undefined, { "x-mock-scenario": scenario });
  const limited = await by("rate_limited");
  expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "30"]);
  expect(limited.headers.get("content-type")).toContain("application/problem+json");
  expect(limited.body).toEqual({
    type: "about:blank",
    title: "Too Many Requests",
    status: 429,
    detail: "This is made up: the scenario rate_limited says so.",
  });
  expect((await by("unavailable")).status).toBe(503);
  expect((await by("server_error")).status).toBe(500);
  const unknown = await by("nonsense");
  expect([unknown.status, unknown.body["code"]]).toEqual([422, "INPUT_INVALID"]);
  expect(unknown.body["detail"]).toContain("there are paused, urgent,");
  expect((await by("small; tasks=3")).body["detail"]).toContain("generates nothing");
  expect((await by("generated; tasks=-1")).status).toBe(422);
  expect((await by("generated; taks=1")).status).toBe(422);
});

test("a dropped connection ends without an answer, and a cut one in the middle of it", async () => {
  const rest = await startRestApp();
  const by = (scenario: string) => rest.post("/mock_dispatch", PAYLOAD, undefined, { "x-mock-scenario": scenario });
  await expect(by("dropped")).rejects.toThrow("fetch failed");
  await expect(by("cut")).rejects.toThrow("terminated");
  expect((await by("small")).status).toBe(200);
});

test("a malformed answer is 200 with JSON that cannot be read", async () => {
  const rest = await startRestApp();
  const json = ["--header", "Content-Type: application/json", "--data", JSON.stringify(PAYLOAD)];
  const { status, text } = await curl(...json, "--header", "X-Mock-Scenario: malformed", `${rest.url}/mock_dispatch`);
  expect(status).toBe(200);
  expect(() => JSON.parse(text) as unknown).toThrow("JSON");
});

test("a delay is waited for, and not by a caller who has gone", async () => {
  const rest = await startRestApp();
  const headers = { "x-mock-scenario": "small; delay_ms=60" };
  const beganAt = performance.now();
  expect((await rest.post("/mock_dispatch", PAYLOAD, undefined, headers)).status).toBe(200);
  // A timer may fire a little before its time, by another clock.
  expect(performance.now() - beganAt).toBeGreaterThan(55);
  const gone = fetch(`${rest.url}/mock_dispatch`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-mock-scenario": "small; delay_ms=60000" },
    body: JSON.stringify(PAYLOAD),
    signal: AbortSignal.timeout(50),
  });
  await expect(gone).rejects.toThrow("timeout");
  // It would wait for the minute otherwise.
  await rest.app.http.close();
});

test("generated work is the same for the same seed, of any size, and streamed", async () => {
  const rest = await startRestApp();
  const by = async (scenario: string) => {
    const answer = await rest.post("/mock_dispatch", PAYLOAD, undefined, { "x-mock-scenario": scenario });
    return (answer.body["mock_data"] as { assigned_tasks: readonly unknown[] }).assigned_tasks;
  };
  const first = await by("generated; tasks=100; seed=7");
  expect(first).toHaveLength(100);
  expect(await by("generated; tasks=100; seed=7")).toEqual(first);
  expect(await by("generated; tasks=100; seed=8")).not.toEqual(first);
  expect(await by("generated; tasks=50; seed=7")).toEqual(first.slice(0, 50));
  expect(await by("generated; tasks=0")).toEqual([]);

  const response = await fetch(`${rest.url}/mock_dispatch`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-mock-scenario": "generated; tasks=300000" },
    body: JSON.stringify(PAYLOAD),
  });
  // Its length is not known beforehand, and nobody has held the whole.
  expect(response.headers.get("content-length")).toBeNull();
  const body = (await response.json()) as { mock_data: { assigned_tasks: unknown[]; node_status: string } };
  expect(body.mock_data.assigned_tasks).toHaveLength(300_000);
  expect(body.mock_data.node_status).toBe("active");
});

test("a file that has changed holds from the next call on; a faulty one changes nothing, and the log says why, once", async () => {
  const { path, save } = await scenarioFile(only({ answer: { assigned_tasks: [] } }));
  const rest = await startRestApp({ MOCK_DATA_PATH: path });
  const tasks = async () => /"task_id":"(\w+)"/.exec((await rest.post("/mock_dispatch", PAYLOAD)).text)?.[1] ?? null;
  expect(await tasks()).toBeNull();
  await save(only({ answer: { assigned_tasks: [TASK] } }));
  expect(await tasks()).toBe("t1");
  rest.secrets.lines.length = 0;
  await save(only({ answer: { assigned_tasks: [{ ...TASK, size_mb: "big" }] } }));
  expect(await tasks()).toBe("t1");
  expect(await tasks()).toBe("t1");
  await rm(path);
  expect(await tasks()).toBe("t1");
  expect(await tasks()).toBe("t1");
  const kept = rest.secrets.lines.filter((line) => line.includes("mock.kept"));
  expect(kept).toEqual([
    expect.stringContaining("scenarios[0].answer.assigned_tasks[0].size_mb"),
    expect.stringContaining("cannot be read (ENOENT)"),
  ]);
  await save(only({ answer: { assigned_tasks: [{ ...TASK, task_id: "t2" }] } }));
  expect(await tasks()).toBe("t2");
});

test.each<readonly [title: string, content: unknown, told: RegExp]>([
  ["no JSON", '{\n  "default": "one",\n  oops\n}', /is no JSON: .*line 3 column 3/],
  ["nothing of it", {}, /2 fault\(s\): default: .*; scenarios: /],
  ["an unknown default", { ...only({ answer: { assigned_tasks: [] } }), default: "two" }, /default: is the name of no/],
  [
    "two of a name",
    { default: "a", scenarios: [1, 2].map(() => ({ name: "a", error: { kind: "drop" } })) },
    /scenarios\[1\]\.name: is taken/,
  ],
  [
    "two kinds of answer",
    only({ answer: { assigned_tasks: [] }, error: { kind: "drop" } }),
    /scenarios\[0\]: has exactly one/,
  ],
  ["a misspelt field", only({ anwser: {} }), /scenarios\[0\]: .*anwser/],
  [
    "a pattern that is none",
    only({ when: { node_id: "(" }, error: { kind: "drop" } }),
    /scenarios\[0\]\.when\.node_id: has to be a regular/,
  ],
])("a server does not start with a file that has %s, and says where", async (_title, content, told) => {
  const { path } = await scenarioFile(content);
  await expect(startRestApp({ MOCK_DATA_PATH: path })).rejects.toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringMatching(told) }),
  );
});

async function outcome(env: Readonly<Record<string, string>>): Promise<string> {
  const { status, body } = await (await startRestApp(env)).post("/mock_dispatch", PAYLOAD);
  return `${status} ${status === 200 ? "ok" : String(body["code"])}`;
}

test("mock mode is off in production unless it is switched on, and elsewhere on unless it is switched off", async () => {
  expect(await outcome({ NODE_ENV: "production" })).toBe("404 MOCK_MODE_OFF");
  expect(await outcome({ NODE_ENV: "production", ENABLE_MOCK_MODE: "true" })).toBe("200 ok");
  expect(await outcome({ ENABLE_MOCK_MODE: "false" })).toBe("404 MOCK_MODE_OFF");
  expect(await outcome({})).toBe("200 ok");
  // What is off is not read: a file that nobody uses keeps no server from starting.
  expect(await outcome({ ENABLE_MOCK_MODE: "off", MOCK_DATA_PATH: "/nowhere" })).toBe("404 MOCK_MODE_OFF");
});

test("a payload of another shape is refused by its field", async () => {
  const rest = await startRestApp();
  const { status, body } = await rest.post("/mock_dispatch", { ...PAYLOAD, capacity_gb: "much" });
  expect([status, body["code"], body["details"]]).toEqual([422, "INPUT_INVALID", { field: "capacity_gb", faults: 1 }]);
});
