/** The shapes of made-up work, and of the file that it is told in. */
import { z } from "zod";

export const MockDispatchInput = z.object({
  node_id: z.union([z.string().min(1).max(200), z.number()]),
  capacity_gb: z.number().min(0).max(Number.MAX_SAFE_INTEGER),
  priority_level: z.union([z.string().max(100), z.number()]),
});

const MockTask = z.strictObject({
  task_id: z.string().min(1).max(200),
  dataset_url: z.string().min(1).max(4096),
  size_mb: z.number().min(0).max(Number.MAX_SAFE_INTEGER),
  priority: z.union([z.string().max(100), z.number()]),
});
export type MockTask = z.output<typeof MockTask>;

const STATUS = { estimated_duration: z.string().max(200), node_status: z.string().max(200) };

export const MockDispatchOutput = z.object({
  status: z.literal("success"),
  message: z.string(),
  /** The request as it was sent. */
  received_data: MockDispatchInput,
  mock_data: z.object({ assigned_tasks: z.array(MockTask), ...STATUS }),
});

const StatusDefaults = {
  estimated_duration: STATUS.estimated_duration.default("2 hours"),
  node_status: STATUS.node_status.default("active"),
};

/** As many as a program that asks for work is ever tested with. */
export const GENERATED_TASKS_MAX = 10_000_000;
export const GeneratedShape = z.strictObject({
  tasks: z.int().min(0).max(GENERATED_TASKS_MAX),
  /** The same seed makes the same tasks. */
  seed: z.int().min(0).max(0xffff_ffff).default(1),
  ...StatusDefaults,
});

export const DELAY_MAX_MS = 60_000;

const Fault = z.discriminatedUnion("kind", [
  /** Answers with a status, as problem details unless a body is named. */
  z.strictObject({
    kind: z.literal("status"),
    status: z.int().min(400).max(599),
    retry_after_s: z.int().min(0).max(86_400).optional(),
    body: z.unknown().optional(),
  }),
  /** Closes the connection without an answer. */
  z.strictObject({ kind: z.literal("drop") }),
  /** Closes it in the middle of the answer. */
  z.strictObject({ kind: z.literal("cut") }),
  /** Answers 200 with JSON that ends too early. */
  z.strictObject({ kind: z.literal("malformed") }),
]);
export type MockFault = z.output<typeof Fault>;

const Pattern = z
  .string()
  .max(500)
  .refine((text) => {
    try {
      return new RegExp(text, "u") instanceof RegExp;
    } catch {
      return false;
    }
  }, "has to be a regular expression");

const Scenario = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "letters, digits, dash, underscore; 1 to 64 of them"),
    description: z.string().optional(),
    /** All that is named has to fit. A scenario without it is had by its name alone. */
    when: z
      .strictObject({
        /** `min <= capacity_gb < max` */
        capacity_gb: z.strictObject({ min: z.number().optional(), max: z.number().optional() }).optional(),
        priority_level: z
          .array(z.union([z.string(), z.number()]))
          .min(1)
          .optional(),
        /** A regular expression that is found in it. */
        node_id: Pattern.optional(),
      })
      .optional(),
    delay_ms: z.int().min(0).max(DELAY_MAX_MS).default(0),
    answer: z.strictObject({ assigned_tasks: z.array(MockTask), ...StatusDefaults }).optional(),
    generate: GeneratedShape.optional(),
    error: Fault.optional(),
  })
  .refine(({ answer, generate, error }) => [answer, generate, error].filter((one) => one !== undefined).length === 1, {
    error: "has exactly one of answer, generate and error",
  });
export type MockScenario = z.output<typeof Scenario>;

export const MockFile = z
  .strictObject({
    $comment: z.string().optional(),
    /** The name of the scenario where none fits. */
    default: z.string(),
    /** The first that fits is taken. */
    scenarios: z.array(Scenario).min(1),
  })
  .superRefine(({ default: fallback, scenarios }, context) => {
    const names = scenarios.map(({ name }) => name);
    for (const [index, name] of names.entries()) {
      if (names.indexOf(name) !== index) {
        context.addIssue({ code: "custom", path: ["scenarios", index, "name"], message: "is taken by another one" });
      }
    }
    if (!names.includes(fallback)) {
      context.addIssue({ code: "custom", path: ["default"], message: "is the name of no scenario" });
    }
  });
export type MockFile = z.output<typeof MockFile>;
