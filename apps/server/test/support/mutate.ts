/** A server's answer that is an error: HTTP status and the code of the fault, where it names one. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly status: number;
  readonly code: string | null;

  constructor(path: string, status: number, text: string) {
    super(`${path} answered ${status}: ${text}`);
    this.status = status;
    this.code = codeIn(text);
  }
}

export type MutateOptions = { readonly key?: string; readonly signal?: AbortSignal };

/** Call a mutation over HTTP. @throws Refused; what `fetch` throws when there is no answer; the signal's reason */
export async function mutate<Output>(
  url: string,
  path: string,
  input: unknown,
  { key, signal }: MutateOptions,
): Promise<Output> {
  const headers = {
    "content-type": "application/json",
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
  const response = await fetch(`${url}/trpc/${path}`, {
    method: "POST",
    headers,
    body: JSON.stringify({ json: input }),
    ...(signal === undefined ? {} : { signal }),
  });
  const text = await response.text();
  if (!response.ok) throw new Refused(path, response.status, text);
  return (JSON.parse(text) as { result: { data: { json: Output } } }).result.data.json;
}

function codeIn(text: string): string | null {
  try {
    return (JSON.parse(text) as { error: { json: { data: { dispatcher: { code: string } } } } }).error.json.data
      .dispatcher.code;
  } catch {
    return null;
  }
}
