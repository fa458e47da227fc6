export const name = "simulate";
export const about = "months of a whole fleet in minutes, by several policies; has options of its own (--help)";
export { main } from "../src/main.ts";
