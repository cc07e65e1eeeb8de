// What the programs of both SDKs share: one order a line on stdin, the list of its reports a line on stdout, as
// common.py has it. The SDKs are taken from the folder that the first argument names.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

export const MODEL = "claude-3-5-haiku-latest";
export const TEXT = "How long is a minute?";
export const MESSAGES = [{ role: "user", content: TEXT }];
// A function that the model may call.
export const FUNCTION = "get_weather";
export const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
export const sdk = createRequire(process.argv[2] + "/");

// Who is told to wait longer is not made to: that it would have waited so long is in the report.
const SLEEP_MAX_MS = 2000;

// What happens beneath the SDK: the status of each attempt, what it was told, how long it slept between.
let wire;

async function fetched(url, init) {
  const response = await fetch(url, init);
  const told = response.headers.get("retry-after-ms");
  wire.attempts.push([response.status, told && Number(told)]);
  wire.retries = Number(new Headers(init.headers).get("x-stainless-retry-count") ?? 0);
  return response;
}

// By the function of this name both SDKs wait for a retry; time-outs and Node's own timers are not theirs.
const really = globalThis.setTimeout;
globalThis.setTimeout = (then, ms, ...rest) => {
  if (!new Error().stack.includes("/sleep.js:")) return really(then, ms, ...rest);
  wire.slept.push(ms / 1000);
  return really(then, Math.min(ms, SLEEP_MAX_MS), ...rest);
};

// Carries out orders: `connect` makes a client, `ask` asks once and says what came of it.
export async function serve(APIError, connect, ask) {
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const client = connect({ baseURL: order.base, maxRetries: order.retries, fetch: fetched });
    const reports = [];
    for (let time = 0; time < order.times; time++) {
      wire = { attempts: [], slept: [], retries: 0 };
      const report = await attempt(APIError, client, order, ask);
      reports.push({ ...report, ...wire, resets: resets(report.headers ?? {}) });
    }
    console.log(JSON.stringify(reports));
  }
}

async function attempt(APIError, client, order, ask) {
  try {
    return await ask(client, order);
  } catch (error) {
    const raised = error.constructor.name;
    if (!(error instanceof APIError) || error.status === undefined) return { raised, why: String(error) };
    const { status, type, error: body, headers } = error;
    return { raised, status, type, body, headers: Object.fromEntries(headers) };
  }
}

// When Anthropic's limits are whole again, in milliseconds since 1970, as a program reads RFC 3339.
function resets(headers) {
  const isReset = ([name]) => name.startsWith("anthropic-ratelimit-") && name.endsWith("-reset");
  return Object.fromEntries(Object.entries(headers).filter(isReset).map(([name, at]) => [name, Date.parse(at)]));
}
