// The official OpenAI SDK for JavaScript, asked to chat. See common.mjs.

import { MESSAGES, MODEL, sdk, serve } from "./common.mjs";

const { OpenAI, APIError } = sdk("openai");

const connect = (how) => new OpenAI({ apiKey: "sk-client", ...how });

async function ask(client, order) {
  // Without its key, as a caller who has none; with its own headers.
  const headers = { ...order.headers, ...(order.keyless ? { Authorization: null } : {}) };
  const call = { model: MODEL, messages: MESSAGES, max_tokens: order.max_tokens };
  return { whole, stream, helper }[order.way](client.chat.completions, call, { headers });
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

function said(completion) {
  const [choice] = completion.choices;
  return { text: choice.message.content, finish: choice.finish_reason, usage: counts(completion.usage) };
}

const counts = (usage) => usage && [usage.prompt_tokens, usage.completion_tokens];

serve(APIError, connect, ask);
