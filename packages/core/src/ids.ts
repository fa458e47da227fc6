/**
 * Identifiers are opaque strings; the brands keep one noun's id from being passed for another's.
 * They come from the database (decimal integers today) and nothing may be read out of their form.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type AssetId = Branded<"AssetId">;
export type AssignmentId = Branded<"AssignmentId">;
export type DatasetId = Branded<"DatasetId">;
export type JoinTokenId = Branded<"JoinTokenId">;
export type KeyId = Branded<"KeyId">;
export type NodeId = Branded<"NodeId">;
export type OperatorId = Branded<"OperatorId">;
export type OriginId = Branded<"OriginId">;

/**
 * A total order for ids: shorter first, then by code unit, so that decimal ids sort as their numbers do.
 * Used wherever a tie must fall the same way on every machine.
 */
export function compareIds<Id extends string>(a: Id, b: Id): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
