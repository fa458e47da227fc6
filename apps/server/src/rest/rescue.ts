/** The routes by which the rescue system asked for work and reported it before there was tRPC. */
import { DispatcherError } from "@dispatcher/core";
import type { NodeId } from "@dispatcher/core";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import { networkOf } from "../network.ts";
import { bearerOf } from "../router/bearer.ts";
import type { Context } from "../router/trpc.ts";
import type { Verdict } from "../services/record-downloads.ts";
import { REST_AGENT_VERSION, REST_SCHEMES } from "../services/rest-node.ts";
import type { Services } from "../services/index.ts";
import {
  AssetsDownloadedInput,
  AssetsDownloadedOutput,
  BYTES_PER_GB,
  BYTES_PER_MB,
  DispatchInput,
  DispatchOutput,
} from "../wire/rescue.ts";
import { readBody } from "./read-body.ts";

export const NODE_ID_HEADER = "dispatcher-node-id";
export const NODE_KEY_HEADER = "dispatcher-node-key";

export type RescueOptions = {
  readonly services: Services;
  readonly createContext: (request: { readonly req: FastifyRequest }) => Promise<Context>;
};

export function registerRescue(http: FastifyInstance, options: RescueOptions): void {
  http.post("/dispatch", async (request, reply) => {
    const input = readBody(DispatchInput, request.body);
    const freeBytes = Math.floor(input.free_space_gb * BYTES_PER_GB);
    const nodeId = await identify(options, request, { reply, input, freeBytes });
    requireSelf(nodeId, input.node_id ?? nodeId, "node_id");
    const { grants } = await options.services.dispatchAssets({ nodeId, freeBytes, network: networkOf(request.ip) });
    const { name, description, free_space_gb, node_id } = request.body as z.input<typeof DispatchInput>;
    const answer: z.input<typeof DispatchOutput> = {
      status: "success",
      message: grants.length === 1 ? "1 asset to save" : `${grants.length} assets to save`,
      received_data: { name, description, free_space_gb, node_id: node_id ?? nodeId },
      asset: grants.map(({ asset: { id, path, dataset, url, sizeBytes } }, place) => ({
        path,
        name: path.split("/").findLast((part) => part !== "") ?? path,
        priority: place + 1,
        size_mb: sizeBytes === null ? null : sizeBytes / BYTES_PER_MB,
        ds_id: dataset,
        res_id: id,
        asset_id: id,
        url,
        magnet_link: "",
        status: "PENDING",
      })),
    };
    return reply.send(DispatchOutput.parse(answer));
  });

  http.post("/assets-downloaded", async (request, reply) => {
    const { actor } = await options.createContext({ req: request });
    if (actor.kind === "anyone") throw new DispatcherError("KEY_MISSING", "This call needs a node's key.");
    if (actor.kind !== "node") throw new DispatcherError("FORBIDDEN", "Only a node may make this call, for itself.");
    const { nodeId } = actor;
    const { rescuer_id, message, assets } = readBody(AssetsDownloadedInput, request.body);
    requireSelf(nodeId, rescuer_id, "rescuer_id");
    const network = networkOf(request.ip);
    const verdicts = await options.services.recordDownloads({ nodeId, message, assets, network });
    const rescues = assets.map((asset, index) => {
      const { asset_id, magnet_link, status } = asset;
      const rescue = { asset_id, rescuer_id, magnet_link, status };
      return { rescue, verdict: verdicts[index] as Verdict };
    });
    const thatAre = (outcome: Verdict["outcome"]) =>
      rescues.filter(({ verdict }) => verdict.outcome === outcome).map(({ rescue }) => rescue);
    const inserted = thatAre("inserted");
    const updated = thatAre("updated");
    const notCommitted = rescues.flatMap(({ rescue, verdict }) =>
      verdict.outcome === "refused" ? [{ ...rescue, code: verdict.code, reason: verdict.reason }] : [],
    );
    const sent = request.body as z.input<typeof AssetsDownloadedOutput>["received_data"];
    const answer: z.input<typeof AssetsDownloadedOutput> = {
      status: "success",
      message: `${inserted.length} inserted, ${updated.length} updated, ${notCommitted.length} not committed`,
      received_data: { rescuer_id: sent.rescuer_id, message: sent.message, assets: sent.assets },
      asset: sent.assets,
      updated_rescues: updated,
      inserted_rescues: inserted,
      not_committed_rescues: notCommitted,
    };
    return reply.send(AssetsDownloadedOutput.parse(answer));
  });
}

type DispatchCall = {
  readonly reply: FastifyReply;
  readonly input: z.output<typeof DispatchInput>;
  readonly freeBytes: number;
};

/**
 * Which node calls: by its key; or by a join token, with which it joins under its name and hears its key in a header, as often
 * as it asks with the token. @throws DispatcherError KEY_MISSING, FORBIDDEN, JOIN_TOKEN_INVALID, NODE_NAME_TAKEN ...
 */
async function identify(
  { services, createContext }: RescueOptions,
  request: FastifyRequest,
  { reply, input, freeBytes: offeredBytes }: DispatchCall,
): Promise<NodeId> {
  const joinToken = bearerOf(request.headers.authorization);
  if (joinToken === null || !joinToken.startsWith("dsp_join_")) {
    const { actor } = await createContext({ req: request });
    if (actor.kind === "node") return actor.nodeId;
    if (actor.kind !== "anyone") throw new DispatcherError("FORBIDDEN", "Only a node is given work, for itself.");
    throw new DispatcherError("KEY_MISSING", "A node sends its key, or at first a join token.");
  }
  const { name, description } = input;
  const network = networkOf(request.ip);
  const { nodeId, key } = await services.joinByToken({
    joinToken,
    name,
    description,
    offeredBytes,
    schemes: REST_SCHEMES,
    agentVersion: REST_AGENT_VERSION,
    network,
  });
  // Also when there is nothing for it: the node has joined. No cache on the way is to keep it.
  void reply.header(NODE_ID_HEADER, nodeId).header(NODE_KEY_HEADER, key).header("cache-control", "no-store");
  return nodeId;
}

function requireSelf(nodeId: NodeId, named: string, field: string): void {
  if (named === nodeId) return;
  throw new DispatcherError("FORBIDDEN", `${field} is ${named}, and the key is that of node ${nodeId}.`);
}
