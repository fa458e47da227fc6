export type { AppRouter } from "./router/index.ts";
export type { WireError } from "./router/trpc.ts";
