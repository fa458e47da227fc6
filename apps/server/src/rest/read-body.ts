import { DispatcherError } from "@dispatcher/core";
import type { z } from "zod";

/** Beside INPUT_INVALID it is what tells a body of the wrong shape (422) from one that is no JSON (400). */
export class UnprocessableBody extends DispatcherError {}

/** @throws UnprocessableBody INPUT_INVALID that names the first field at fault, and how many there are */
export function readBody<Shape extends z.ZodType>(shape: Shape, body: unknown): z.output<Shape> {
  const parsed = shape.safeParse(body);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  const field = issues[0]?.path.join(".") ?? "";
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  const text = `${field === "" ? "The body" : field}: ${issues[0]?.message}${more}.`;
  throw new UnprocessableBody("INPUT_INVALID", text, { details: { field, faults: issues.length } });
}
