/**
 * Numbers and words from outside are checked once, where they enter a rule and before anything changes, so that no NaN
 * travels into a ledger. Each refusal is an INPUT_INVALID whose details name the field and the value.
 */
import { DispatcherError } from "./errors.ts";

/** For a rule of its own. JSON knows neither NaN nor Infinity: those are told as text. @throws DispatcherError INPUT_INVALID */
export function refuse(value: unknown, field: string, rule: string): never {
  const isPlain = typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);
  throw new DispatcherError("INPUT_INVALID", `${field} is ${String(value)}; it has to be ${rule}.`, {
    details: { field, value: isPlain ? (value as string | number | boolean) : String(value) },
  });
}

/** Bytes, copies, terms. @throws DispatcherError INPUT_INVALID */
export function requireCount(value: number, field: string): void {
  if (!Number.isSafeInteger(value) || value < 0) refuse(value, field, "a whole number of 0 or more");
}

/** Times since the epoch, and differences that may run either way. @throws DispatcherError INPUT_INVALID */
export function requireFinite(value: number, field: string): void {
  if (!Number.isFinite(value)) refuse(value, field, "a finite number");
}

/** Lengths of time and rates, fractions too. @throws DispatcherError INPUT_INVALID */
export function requireAmount(value: number, field: string): void {
  if (!Number.isFinite(value) || value < 0) refuse(value, field, "a finite number of 0 or more");
}

/** A share, a probability or a random number: 0 to 1, both ends included. @throws DispatcherError INPUT_INVALID */
export function requireShare(value: number, field: string): void {
  if (!Number.isFinite(value) || value < 0 || value > 1) refuse(value, field, "a number from 0 to 1");
}

/** @throws DispatcherError INPUT_INVALID for a value that is none of `options` */
export function requireOneOf(value: string, options: readonly string[], field: string): void {
  if (!options.includes(value)) refuse(value, field, `one of ${options.join(", ")}`);
}
