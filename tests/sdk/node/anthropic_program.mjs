// The official Anthropic SDK for JavaScript, asked for messages, to count tokens and for models. See common.mjs.

import { FUNCTION, MESSAGES, MODEL, SCHEMA, sdk, serve } from "./common.mjs";

const { Anthropic, APIError } = sdk("@anthropic-ai/sdk");

const connect = (how) => new Anthropic({ apiKey: "sk-client", ...how });

async function ask(client, order) {
  // Without its key, as a caller who has none; with its own headers.
  const keyless = order.keyless ? { Authorization: null, "X-Api-Key": null } : {};
  const how = { headers: { ...order.headers, ...keyless } };
  if (order.way === "count") return count(client.messages, { model: MODEL, messages: MESSAGES }, how);
  if (order.way === "models") return models(client.models, how);
  const call = { model: MODEL, messages: MESSAGES, max_tokens: order.max_tokens };
  const ways = { whole, stream, helper, tools, "tools-stream": toolsStream };
  return ways[order.way](client.messages, call, how);
}

async function whole(messages, call, how) {
  const { data, response } = await messages.create(call, how).withResponse();
  return { ...said(data), headers: Object.fromEntries(response.headers) };
}

async function stream(messages, call, how) {
  const { data, response } = await messages.create({ ...call, stream: true }, how).withResponse();
  let [text, finish, usage, last] = ["", null, null, null];
  for await (const event of data) {
    last = event.type;
    if (event.type === "message_start") usage = counts(event.message.usage);
    if (event.type === "content_block_delta") text += event.delta.text;
    if (event.type === "message_delta") {
      finish = event.delta.stop_reason;
      // The last word on the output; the input too, where the event has it.
      usage = [event.usage.input_tokens || usage[0], event.usage.output_tokens];
    }
  }
  if (last !== "message_stop") throw new Error(`the stream ends with ${last}`);
  return { text, finish, usage, headers: Object.fromEntries(response.headers) };
}

async function helper(messages, call, how) {
  const events = messages.stream(call, how);
  let text = "";
  events.on("text", (delta) => (text += delta));
  const final = said(await events.finalMessage());
  if (text !== final.text) throw new Error("the helper's text is not that of its events");
  return final;
}

const TOOLS = [{ name: FUNCTION, input_schema: SCHEMA }];

async function tools(messages, call, how) {
  return called(await messages.create({ ...call, tools: TOOLS, tool_choice: { type: "any" } }, how));
}

async function toolsStream(messages, call, how) {
  return called(await messages.stream({ ...call, tools: TOOLS }, how).finalMessage());
}

function called(message) {
  const block = message.content.find((block) => block.type === "tool_use");
  return { text: block.name, arguments: block.input, finish: message.stop_reason, usage: counts(message.usage) };
}

function said(message) {
  const text = message.content.map((block) => block.text).join("");
  return { text, finish: message.stop_reason, usage: counts(message.usage) };
}

const counts = (usage) => [usage.input_tokens, usage.output_tokens];

async function count(messages, call, how) {
  const { data, response } = await messages.countTokens(call, how).withResponse();
  return { text: "", finish: null, usage: [data.input_tokens, 0], headers: Object.fromEntries(response.headers) };
}

async function models(models, how) {
  const { data } = await models.list({}, how);
  const found = await models.retrieve(data.at(-1).id, {}, how);
  return { text: data.map((model) => model.id).join(" "), finish: found.id, usage: null };
}

serve(APIError, connect, ask);
