import { ProgramFailure, startChild } from "./child.ts";
import type { Child, Environment } from "./child.ts";
import { runProgram } from "./run-program.ts";

export type JoinOptions = {
  readonly home: string;
  readonly url: string;
  readonly joinToken: string;
  readonly name: string;
  /** As people write it: `200MB`. */
  readonly capacity: string;
  readonly margin?: string;
  readonly env?: Environment;
  readonly signal?: AbortSignal;
};

/** Make a home for an agent and join it to a server. @throws ProgramFailure when it is refused */
export async function joinAgent({
  home,
  url,
  joinToken,
  name,
  capacity,
  margin = "0",
  env = {},
  signal,
}: JoinOptions): Promise<void> {
  const settings = { home, url, name, capacity, margin };
  const { exitCode, stdout, stderr } = await runProgram("agent", {
    args: ["join", ...Object.entries(settings).flatMap(([option, value]) => [`--${option}`, value])],
    // Not as an argument: those are for every user of the machine to read.
    env: { DISPATCHER_JOIN_TOKEN: joinToken, ...env },
    ...(signal === undefined ? {} : { signal }),
  });
  if (exitCode !== 0) {
    throw new ProgramFailure(`The agent ${name} could not join.`, exitCode, [stdout, stderr]);
  }
}

export type AgentOptions = {
  readonly home: string;
  /** Further arguments of `agent run`. */
  readonly args?: readonly string[];
  readonly env?: Environment;
  readonly signal?: AbortSignal;
};

/** Start the agent of a home that has joined, and wait until it runs. After a kill, call it again: same home, same node. */
export async function startAgent({ home, args = [], env = {}, signal }: AgentOptions): Promise<Child> {
  // Origins of tests are on this machine.
  const settings = { DISPATCHER_AGENT_PRIVATE_ORIGINS: "allow", ...env };
  const child = startChild("agent", { args: ["run", "--home", home, ...args], env: settings });
  try {
    await child.waitForEvent("agent.started", signal === undefined ? {} : { signal });
    return child;
  } catch (cause) {
    await child.stop();
    throw cause;
  }
}
