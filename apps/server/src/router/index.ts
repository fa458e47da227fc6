import { assetRouter } from "./asset.ts";
import { keyRouter } from "./key.ts";
import { nodeRouter } from "./node.ts";
import { statsRouter } from "./stats.ts";
import { systemRouter } from "./system.ts";
import { tokenRouter } from "./token.ts";
import { createCallerFactory, router } from "./trpc.ts";

export const appRouter = router({
  asset: assetRouter,
  key: keyRouter,
  node: nodeRouter,
  stats: statsRouter,
  system: systemRouter,
  token: tokenRouter,
});

export type AppRouter = typeof appRouter;

/** Calls procedures from inside the process, with no HTTP: the admin command's way in. */
export const createCaller = createCallerFactory(appRouter);
