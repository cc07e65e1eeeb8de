// The official OpenAI SDK for JavaScript, asked to chat, for responses, embeddings and models. See common.mjs.

import { FUNCTION, MESSAGES, MODEL, SCHEMA, TEXT, sdk, serve } from "./common.mjs";

const { OpenAI, APIError } = sdk("openai");

const connect = (how) => new OpenAI({ apiKey: "sk-client", ...how });

async function ask(client, order) {
  // Without its key, as a caller who has none; with its own headers.
  const headers = { ...order.headers, ...(order.keyless ? { Authorization: null } : {}) };
  if (order.way.startsWith("embeddings")) {
    const input = order.way === "embeddings-one" ? TEXT : [TEXT, TEXT];
    return embeddings(client.embeddings, { model: MODEL, input, encoding_format: "float" }, { headers });
  }
  if (order.way === "models") return models(client.models, { headers });
  if (order.way.startsWith("responses")) {
    const call = { model: MODEL, input: TEXT, max_output_tokens: order.max_tokens };
    const ways = {
      responses: response,
      "responses-stream": responseStream,
      "responses-helper": responseHelper,
      "responses-tools": responseTools,
    };
    return ways[order.way](client.responses, call, { headers });
  }
  const call = { model: MODEL, messages: MESSAGES, max_tokens: order.max_tokens };
  const ways = { whole, stream, helper, tools, "tools-stream": toolsStream };
  return ways[order.way](client.chat.completions, call, { headers });
}

async function whole(completions, call, how) {
  const { data, response } = await completions.create(call, how).withResponse();
  return { ...said(data), headers: Object.fromEntries(response.headers) };
}

const streamed = (call) => ({ ...call, stream: true, stream_options: { include_usage: true } });

async function stream(completions, call, how) {
  const { data, response } = await completions.create(streamed(call), how).withResponse();
  let [text, finish, usage] = ["", null, null];
  for await (const chunk of data) {
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      finish = choice.finish_reason ?? finish;
    }
    usage = chunk.usage ?? usage;
  }
  return { text, finish, usage: counts(usage), headers: Object.fromEntries(response.headers) };
}

async function helper(completions, call, how) {
  const events = completions.stream(streamed(call), how);
  let text = "";
  events.on("content", (delta) => (text += delta));
  const final = said(await events.finalChatCompletion());
  if (text !== final.text) throw new Error("the helper's text is not that of its events");
  return final;
}

const TOOLS = [{ type: "function", function: { name: FUNCTION, parameters: SCHEMA } }];

async function tools(completions, call, how) {
  return called(await completions.create({ ...call, tools: TOOLS, tool_choice: "required" }, how));
}

async function toolsStream(completions, call, how) {
  return called(await completions.stream({ ...streamed(call), tools: TOOLS }, how).finalChatCompletion());
}

function called(completion) {
  const [choice] = completion.choices;
  const { name, arguments: text } = choice.message.tool_calls[0].function;
  return { text: name, arguments: JSON.parse(text), finish: choice.finish_reason, usage: counts(completion.usage) };
}

async function responseTools(responses, call, how) {
  const tools = [{ type: "function", name: FUNCTION, parameters: SCHEMA, strict: false }];
  const { output, status, usage } = await responses.create({ ...call, tools }, how);
  const item = output.find((item) => item.type === "function_call");
  const counted = [usage.input_tokens, usage.output_tokens];
  return { text: item.name, arguments: JSON.parse(item.arguments), finish: status, usage: counted };
}

function said(completion) {
  const [choice] = completion.choices;
  return { text: choice.message.content, finish: choice.finish_reason, usage: counts(completion.usage) };
}

const counts = (usage) => usage && [usage.prompt_tokens, usage.completion_tokens];

async function response(responses, call, how) {
  const { data, response } = await responses.create(call, how).withResponse();
  return { ...saidResponse(data), headers: Object.fromEntries(response.headers) };
}

async function responseStream(responses, call, how) {
  const { data, response } = await responses.create({ ...call, stream: true }, how).withResponse();
  let [text, last] = ["", { sequence_number: -1 }];
  for await (const event of data) {
    if (event.sequence_number !== last.sequence_number + 1) throw new Error(`out of order: ${JSON.stringify(event)}`);
    last = event;
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  // What was said is in the deltas: a stream that ended early does not repeat it.
  return { ...saidResponse(last.response), text, headers: Object.fromEntries(response.headers) };
}

async function responseHelper(responses, call, how) {
  const events = responses.stream(call, how);
  let text = "";
  events.on("response.output_text.delta", (event) => (text += event.delta));
  const final = saidResponse(await events.finalResponse());
  if (text !== final.text) throw new Error("the helper's text is not that of its events");
  return final;
}

function saidResponse({ output, status, usage }) {
  const parts = output.flatMap((item) => item.content ?? []);
  const text = parts.map((part) => part.text ?? "").join("");
  return { text, finish: status, usage: [usage.input_tokens, usage.output_tokens] };
}

async function embeddings(embeddings, call, how) {
  const { data, response } = await embeddings.create(call, how).withResponse();
  const finish = data.data.map((one) => one.embedding.length);
  return { text: "", finish, usage: [data.usage.prompt_tokens, 0], headers: Object.fromEntries(response.headers) };
}

async function models(models, how) {
  const { data } = await models.list(how);
  const found = await models.retrieve(data.at(-1).id, how);
  return { text: data.map((model) => model.id).join(" "), finish: found.id, usage: null };
}

serve(APIError, connect, ask);
