import { hash } from "node:crypto";
import type { HashText } from "@dispatcher/core";

/** As the digest of an inventory is made of. */
export const hashText: HashText = (text) => hash("sha256", text);
