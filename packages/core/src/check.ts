import { DispatcherError } from "./errors.ts";

/** Numbers from outside are checked once, where they enter a rule, so that no NaN travels into a ledger. */
export function requireCount(value: number, field: string): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new DispatcherError(
      "INPUT_INVALID",
      `${field} is ${String(value)}; it has to be a whole number of 0 or more.`,
      {
        details: { field, value: Number.isFinite(value) ? value : String(value) },
      },
    );
  }
}
