import type { DispatcherError } from "@dispatcher/core";
import { z } from "zod";
import { DELAY_MAX_MS, GENERATED_TASKS_MAX } from "../../wire/mock.ts";
import type { MockDispatchInput, MockFile, MockScenario } from "../../wire/mock.ts";
import { UnprocessableBody } from "../read-body.ts";

export const SCENARIO_HEADER = "x-mock-scenario";

type Payload = z.output<typeof MockDispatchInput>;

/** What a caller may change of the scenario it names. */
const Changes = z.strictObject({
  tasks: z.coerce.number().int().min(0).max(GENERATED_TASKS_MAX).optional(),
  seed: z.coerce.number().int().min(0).max(0xffff_ffff).optional(),
  delay_ms: z.coerce.number().int().min(0).max(DELAY_MAX_MS).optional(),
});

/**
 * The scenario that a call is answered by: the one its header names, `name` or `name; tasks=1000; seed=7; delay_ms=50`; else
 * the first that fits; else the default.
 * @throws DispatcherError INPUT_INVALID for a header that names none, or changes what cannot be changed
 */
export function chooseScenario(file: MockFile, payload: Payload, header: string | undefined): MockScenario {
  const byName = (name: string) => file.scenarios.find((scenario) => scenario.name === name);
  if (header !== undefined) {
    const [name = "", ...changes] = header.split(";").map((part) => part.trim());
    const named = byName(name);
    if (named !== undefined) return change(named, changes);
    const names = file.scenarios.map((scenario) => scenario.name).join(", ");
    throw invalid(`No scenario is called ${JSON.stringify(name)}; there are ${names}.`);
  }
  const fitting = file.scenarios.find(({ when }) => when !== undefined && fits(when, payload));
  const chosen = fitting ?? byName(file.default);
  if (chosen === undefined) throw new Error("A file of scenarios has a default.");
  return chosen;
}

function fits(when: NonNullable<MockScenario["when"]>, { node_id, capacity_gb, priority_level }: Payload): boolean {
  const { min = -Infinity, max = Infinity } = when.capacity_gb ?? {};
  if (capacity_gb < min || capacity_gb >= max) return false;
  if (when.priority_level !== undefined && !when.priority_level.includes(priority_level)) return false;
  return when.node_id === undefined || new RegExp(when.node_id, "u").test(String(node_id));
}

function change(scenario: MockScenario, given: readonly string[]): MockScenario {
  if (given.length === 0) return scenario;
  const parsed = Changes.safeParse(Object.fromEntries(given.map((part) => part.split("=").map((text) => text.trim()))));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(`${issue?.path.join(".") || "It"}: ${issue?.message}; tasks, seed and delay_ms can be given.`);
  }
  const { tasks, seed, delay_ms = scenario.delay_ms } = parsed.data;
  if (tasks === undefined && seed === undefined) return { ...scenario, delay_ms };
  const { generate } = scenario;
  if (generate === undefined) throw invalid(`Scenario ${scenario.name} generates nothing.`);
  return {
    ...scenario,
    delay_ms,
    generate: { ...generate, tasks: tasks ?? generate.tasks, seed: seed ?? generate.seed },
  };
}

function invalid(detail: string): DispatcherError {
  return new UnprocessableBody("INPUT_INVALID", `${SCENARIO_HEADER}: ${detail}`, {
    details: { field: SCENARIO_HEADER, faults: 1 },
  });
}
