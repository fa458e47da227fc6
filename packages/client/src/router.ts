/**
 * What there is to call, as the server's router says. In the published package this file is written out in full, with the
 * docstrings of the router and of what crosses the wire: `build/write-out-router.ts`.
 */
import type { AppRouter } from "@dispatcher/server";
import type { MutationProcedure, QueryProcedure, SubscriptionProcedure } from "./procedures.ts";

type Procedure<Type extends string, Input, Output> = {
  readonly _def: { readonly type: Type; readonly $types: { readonly input: Input; readonly output: Output } };
};

/** Each message of a stream: its id, and what was sent with it. */
type MessageOf<Stream> = Stream extends AsyncIterable<infer Message> ? Message : never;

type InputsOf<Group> = {
  [Name in keyof Group]: Group[Name] extends Procedure<string, infer Input, unknown> ? Input : InputsOf<Group[Name]>;
};

type OutputsOf<Group> = {
  [Name in keyof Group]: Group[Name] extends Procedure<infer Type, unknown, infer Output>
    ? Type extends "subscription"
      ? MessageOf<Output>
      : Output
    : OutputsOf<Group[Name]>;
};

type ClientOf<Group> = {
  readonly [Name in keyof Group]: Group[Name] extends Procedure<infer Type, infer Input, infer Output>
    ? Type extends "query"
      ? QueryProcedure<Input, Output>
      : Type extends "mutation"
        ? MutationProcedure<Input, Output>
        : SubscriptionProcedure<Input, MessageOf<Output>>
    : ClientOf<Group[Name]>;
};

type Procedures = AppRouter["_def"]["record"];

/** What each procedure takes: `RouterInputs["node"]["sync"]`. */
export type RouterInputs = InputsOf<Procedures>;
/** What each procedure answers, and each message of a subscription: `RouterOutputs["stats"]["overview"]`. */
export type RouterOutputs = OutputsOf<Procedures>;
/** The procedures of the server, by name: `client.stats.overview.query()`. */
export type DispatcherClient = ClientOf<Procedures>;
