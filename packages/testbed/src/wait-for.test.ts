import { expect, test } from "vitest";
import { waitFor } from "./wait-for.ts";

test("the first answer that is one is returned", async () => {
  const answers = [null, undefined, false, 0];
  expect(await waitFor("an answer", () => answers.shift(), { everyMs: 1 })).toBe(0);
});

test("in vain, the error names what was waited for", async () => {
  await expect(waitFor("rain", () => false, { timeoutMs: 5, everyMs: 1 })).rejects.toThrow(
    "Waited 5 ms in vain for rain.",
  );
});

test("a failing condition and an aborted signal end the wait", async () => {
  await expect(waitFor("x", () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  const controller = new AbortController();
  const waiting = waitFor("x", () => false, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});
