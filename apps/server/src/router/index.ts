import { assignmentRouter } from "./assignment.ts";
import { assetRouter } from "./asset.ts";
import { datasetRouter } from "./dataset.ts";
import { eventRouter } from "./event.ts";
import { keyRouter } from "./key.ts";
import { nodeRouter } from "./node.ts";
import { originRouter } from "./origin.ts";
import { statsRouter } from "./stats.ts";
import { systemRouter } from "./system.ts";
import { tokenRouter } from "./token.ts";
import { createCallerFactory, router } from "./trpc.ts";

export const appRouter = router({
  asset: assetRouter,
  assignment: assignmentRouter,
  dataset: datasetRouter,
  event: eventRouter,
  key: keyRouter,
  node: nodeRouter,
  origin: originRouter,
  stats: statsRouter,
  system: systemRouter,
  token: tokenRouter,
});

export type AppRouter = typeof appRouter;

/** Calls procedures from inside the process, with no HTTP: the admin command's way in. */
export const createCaller = createCallerFactory(appRouter);
