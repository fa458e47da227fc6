/**
 * Writes `src/router.ts` out in full: every procedure, every field, with the docstrings of the server's sources, and nothing that
 * has to be computed from the types of the server, tRPC or zod. What it cannot write exactly ends the build. That it has
 * written the same types, a test compares (`test/package.slow.test.ts`).
 *
 * It asks the compiler itself. Its interface for programs is called unstable, so the compiler's version is pinned, and this
 * is the one file that knows it.
 */
import { API, SignatureKind, SymbolFlags, TypeFlags } from "typescript/unstable/sync";
import type { Checker, Symbol as NamedSymbol, Type, TypeReference } from "typescript/unstable/sync";

/** These stand at the end of a union. */
const LAST = ["null", "undefined", "void"];

/** CheckFlags.Readonly, which the interface hands out without a name. */
const READONLY_CHECK_FLAG = 8;

/** The text of `router.ts` for the published package. `client` is the folder of the package, with the `/` at its end. */
export function writeOutRouter(client: string): string {
  return withModule(`${client}tsconfig.json`, `${client}src/router.ts`, writeOut);
}

function writeOut({ checker, exported }: OpenModule): string {
  const writer = new Writer(checker);
  const inputs = writer.write(exported("RouterInputs"), "RouterInputs");
  const outputs = writer.write(exported("RouterOutputs"), "RouterOutputs");
  const procedures = writer.writeProcedures(exported("DispatcherClient"), []);
  return [
    `import type { ${writer.ids().join(", ")} } from "@dispatcher/core";`,
    `import type { MutationProcedure, QueryProcedure, SubscriptionProcedure } from "./procedures.ts";`,
    `/** What each procedure takes: \`RouterInputs["node"]["sync"]\`. */`,
    `export interface RouterInputs ${inputs}`,
    `/** What each procedure answers, and each message of a subscription: \`RouterOutputs["stats"]["overview"]\`. */`,
    `export interface RouterOutputs ${outputs}`,
    `/** The procedures of the server, by name: \`client.stats.overview.query()\`. */`,
    `export interface DispatcherClient ${procedures}`,
    "",
  ].join("\n");
}

/** The docstring of each procedure by its path, as an editor shows it for the `DispatcherClient` that a file exports. */
export function proceduresOf(config: string, file: string): ReadonlyMap<string, string> {
  return withModule(config, file, readDocs);
}

function readDocs({ checker, exported }: OpenModule): ReadonlyMap<string, string> {
  const docs = new Map<string, string>();
  const walk = (group: Type, path: readonly string[]): void => {
    for (const member of checker.getPropertiesOfType(group)) {
      const inner = [...path, member.name];
      const type = checker.getTypeOfSymbol(member);
      if (type === undefined) throw new Error(`${inner.join(".")} has no type.`);
      if (isProcedure(type)) docs.set(inner.join("."), member.getDocumentationComment(checker));
      else walk(type, inner);
    }
  };
  walk(exported("DispatcherClient"), []);
  return docs;
}

function isProcedure(type: Type): boolean {
  return /^(Query|Mutation|Subscription)Procedure$/.test(type.getSymbol()?.name ?? "");
}

type OpenModule = { readonly checker: Checker; readonly exported: (name: string) => Type };

/** The types that a file of a project exports. @throws Error when the file has faults */
function openModule(api: API, config: string, file: string): OpenModule {
  const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
  if (project === undefined) throw new Error(`The compiler knows no project ${config}.`);
  const { checker, program } = project;
  const faults = program.getSemanticDiagnostics(file);
  if (faults.length > 0) throw new Error(`${file}: ${faults.map(({ text }) => text).join("\n")}`);
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`The compiler knows no module ${file}.`);
  const exported = (name: string): Type => {
    const symbol = checker.getExportsOfModule(module).find((one) => one.name === name);
    if (symbol === undefined) throw new Error(`${file} exports no ${name}.`);
    const isAlias = (symbol.flags & SymbolFlags.Alias) !== 0;
    return checker.getDeclaredTypeOfSymbol(isAlias ? checker.getAliasedSymbol(symbol) : symbol);
  };
  return { checker, exported };
}

/** `using` would do, if the oldest Node that builds this knew it. */
function withModule<Result>(config: string, file: string, use: (module: OpenModule) => Result): Result {
  const api = new API();
  try {
    return use(openModule(api, config, file));
  } finally {
    api.close();
  }
}

class Writer {
  readonly #checker: Checker;
  readonly #ids = new Set<string>();

  constructor(checker: Checker) {
    this.#checker = checker;
  }

  /** The ids of the core that were written, which the text has to import. */
  ids(): readonly string[] {
    return [...this.#ids].toSorted();
  }

  writeProcedures(group: Type, path: readonly string[]): string {
    return this.#block(group, path.join("."), (member, type) => {
      const inner = [...path, member.name];
      if (!isProcedure(type)) return this.writeProcedures(type, inner);
      const place = inner.map((name) => `[${JSON.stringify(name)}]`).join("");
      return `${type.getSymbol()?.name}<RouterInputs${place}, RouterOutputs${place}>`;
    });
  }

  write(type: Type, place: string): string {
    const id = this.#idOf(type);
    if (id !== null) return id;
    if (type.isUnionType()) return this.#writeUnion(type.getTypes(), place);
    if (type.isLiteralType()) return JSON.stringify(type.value);
    if (type.isIntrinsicType()) return type.intrinsicName;
    if (this.#checker.isTupleType(type) || (type.flags & TypeFlags.Object) === 0) throw this.#cannotWrite(type, place);
    if (this.#checker.isArrayType(type)) return this.#writeArray(type as TypeReference, place);
    const isCalled =
      this.#checker.getSignaturesOfType(type, SignatureKind.Call).length > 0 ||
      this.#checker.getSignaturesOfType(type, SignatureKind.Construct).length > 0;
    if (isCalled) throw this.#cannotWrite(type, place);
    return this.#block(type, place, (member, inner) => this.write(inner, `${place}.${member.name}`));
  }

  #cannotWrite(type: Type, place: string): Error {
    return new Error(`${place}: cannot write out the type ${this.#checker.typeToString(type)}.`);
  }

  #writeArray(type: TypeReference, place: string): string {
    const [element] = this.#checker.getTypeArguments(type);
    if (element === undefined) throw this.#cannotWrite(type, place);
    const name = type.getSymbol()?.name === "ReadonlyArray" ? "ReadonlyArray" : "Array";
    return `${name}<${this.write(element, `${place}[]`)}>`;
  }

  /** Words by the alphabet, as the compiler's order is that of what it saw first; null and undefined behind all others. */
  #writeUnion(types: readonly Type[], place: string): string {
    const texts = types.map((type) => this.write(type, place));
    if (texts.includes("true") && texts.includes("false")) texts.push("boolean");
    return [...new Set(texts)]
      .filter((text) => !texts.includes("boolean") || (text !== "true" && text !== "false"))
      .toSorted((a, b) => LAST.indexOf(a) - LAST.indexOf(b) || (a < b ? -1 : 1))
      .join(" | ");
  }

  /** `AssetId` and its like, which are what `ids.ts` of the core says. */
  #idOf(type: Type): string | null {
    const symbol = type.getAliasSymbol();
    const isOfCore = symbol?.declarations.some(({ path }) => /\/packages\/core\/(src|dist)\/ids\./.test(path)) ?? false;
    if (symbol === undefined || !isOfCore) return null;
    this.#ids.add(symbol.name);
    return symbol.name;
  }

  #block(type: Type, place: string, writeMember: (member: NamedSymbol, type: Type) => string): string {
    const members = this.#checker.getPropertiesOfType(type).map((member) => {
      const inner = this.#checker.getTypeOfSymbol(member);
      if (inner === undefined) throw new Error(`${place}.${member.name} has no type.`);
      const name = /^[A-Za-z_$][\w$]*$/.test(member.name) ? member.name : JSON.stringify(member.name);
      const readonly = (member.checkFlags & READONLY_CHECK_FLAG) === 0 ? "" : "readonly ";
      const optional = (member.flags & SymbolFlags.Optional) === 0 ? "" : "?";
      return `${this.#docOf(member)}${readonly}${name}${optional}: ${writeMember(member, inner)};\n`;
    });
    const rest = this.#checker.getIndexInfosOfType(type).map(({ keyType, valueType, isReadonly }) => {
      const value = this.write(valueType, `${place}[key]`);
      return `${isReadonly ? "readonly " : ""}[key: ${this.write(keyType, place)}]: ${value};\n`;
    });
    return `{\n${members.join("")}${rest.join("")}}`;
  }

  #docOf(member: NamedSymbol): string {
    const tags = member.getJsDocTags(this.#checker).map(({ name, text }) => `@${name} ${text ?? ""}`.trimEnd());
    const text = [member.getDocumentationComment(this.#checker), ...tags].filter((part) => part !== "").join("\n");
    if (text === "") return "";
    const lines = text.replaceAll("*/", "*\\/").split("\n");
    if (lines.length === 1) return `/** ${lines[0]} */\n`;
    return `/**\n${lines.map((line) => ` * ${line}`.trimEnd()).join("\n")}\n */\n`;
  }
}
