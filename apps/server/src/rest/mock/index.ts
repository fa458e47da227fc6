/** Made-up work for those who write a client and have no service to ask: `POST /mock_dispatch`. */
import { STATUS_CODES } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { DispatcherError } from "@dispatcher/core";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { ServerConfig } from "../../config.ts";
import type { Log } from "../../log.ts";
import { MockDispatchInput } from "../../wire/mock.ts";
import type { MockDispatchOutput, MockFault, MockScenario } from "../../wire/mock.ts";
import { PROBLEM_TYPE } from "../../http/problem.ts";
import { readBody } from "../read-body.ts";
import { SCENARIO_HEADER, chooseScenario } from "./choose-scenario.ts";
import { generateTasks } from "./generate-tasks.ts";
import { BUILT_IN_PATH, ScenarioFile } from "./scenario-file.ts";

const MESSAGE = "Payload received and processed";
/** Of what is streamed: enough that a task is not a write of its own. */
const CHUNK_CHARS = 65_536;

export type MockOptions = { readonly config: ServerConfig; readonly log: Log };

/** @throws DispatcherError CONFIG_INVALID for a faulty file of scenarios, where mock mode is on */
export function registerMock(http: FastifyInstance, { config, log }: MockOptions): void {
  const isOn = config.ENABLE_MOCK_MODE ?? config.NODE_ENV !== "production";
  const file = isOn ? new ScenarioFile(config.MOCK_DATA_PATH ?? BUILT_IN_PATH, log) : null;
  http.post("/mock_dispatch", async (request, reply) => {
    if (file === null) throw new DispatcherError("MOCK_MODE_OFF", "This server makes no work up.");
    const payload = readBody(MockDispatchInput, request.body);
    const header = request.headers[SCENARIO_HEADER];
    const scenario = chooseScenario(file.current(), payload, typeof header === "string" ? header : undefined);
    if (scenario.delay_ms > 0) await waitFor(scenario.delay_ms, request);
    return answer(scenario, request, reply);
  });
}

/** Whoever hangs up is not waited for. */
async function waitFor(ms: number, { raw }: FastifyRequest): Promise<void> {
  const hungUp = new AbortController();
  const abort = (): void => hungUp.abort();
  raw.socket.once("close", abort);
  try {
    await delay(ms, undefined, { signal: hungUp.signal });
  } catch {
    // There is nobody left to answer.
  } finally {
    raw.socket.off("close", abort);
  }
}

function answer({ name, answer: fixed, generate, error }: MockScenario, request: FastifyRequest, reply: FastifyReply) {
  const received = request.body as z.output<typeof MockDispatchInput>;
  if (error !== undefined) return fail(error, { name, received, reply });
  if (generate !== undefined) return reply.type("application/json").send(Readable.from(streamOf(received, generate)));
  if (fixed === undefined) throw new Error(`Scenario ${name} has no answer.`);
  return reply.type("application/json").send(bodyOf(received, fixed));
}

function bodyOf(
  received_data: z.output<typeof MockDispatchInput>,
  { assigned_tasks, estimated_duration, node_status }: NonNullable<MockScenario["answer"]>,
): string {
  const body: z.output<typeof MockDispatchOutput> = {
    status: "success",
    message: MESSAGE,
    received_data,
    mock_data: { assigned_tasks, estimated_duration, node_status },
  };
  return JSON.stringify(body);
}

/** The same body in pieces, so that its size is bounded by nobody's memory. */
function* streamOf(
  received: z.output<typeof MockDispatchInput>,
  { tasks, seed, ...status }: NonNullable<MockScenario["generate"]>,
): Generator<string> {
  const [head, tail] = bodyOf(received, { assigned_tasks: [], ...status }).split('"assigned_tasks":[]');
  let chunk = `${head}"assigned_tasks":[`;
  let separator = "";
  for (const task of generateTasks(tasks, seed)) {
    chunk += `${separator}${JSON.stringify(task)}`;
    separator = ",";
    if (chunk.length < CHUNK_CHARS) continue;
    yield chunk;
    chunk = "";
  }
  yield `${chunk}]${tail}`;
}

type Failing = {
  readonly name: string;
  readonly received: z.output<typeof MockDispatchInput>;
  readonly reply: FastifyReply;
};

function fail(fault: MockFault, { name, received, reply }: Failing): FastifyReply {
  const whole = bodyOf(received, { assigned_tasks: [], estimated_duration: "2 hours", node_status: "active" });
  const half = whole.slice(0, whole.length / 2);
  switch (fault.kind) {
    case "status": {
      const { status, retry_after_s: retryAfterS, body } = fault;
      if (retryAfterS !== undefined) void reply.header("retry-after", retryAfterS);
      void reply.code(status);
      if (body !== undefined) return reply.type("application/json").send(JSON.stringify(body));
      const title = STATUS_CODES[status] ?? "Error";
      const detail = `This is made up: the scenario ${name} says so.`;
      return reply.type(PROBLEM_TYPE).send(JSON.stringify({ type: "about:blank", title, status, detail }));
    }
    case "drop":
      reply.hijack().raw.destroy();
      return reply;
    case "cut": {
      const { raw } = reply.hijack();
      raw.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(whole) });
      raw.write(half, () => raw.destroy());
      return reply;
    }
    case "malformed":
      return reply.type("application/json").send(half);
    default:
      return fault satisfies never;
  }
}
