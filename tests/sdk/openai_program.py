"""The official OpenAI SDK, asked to chat, for responses, embeddings and models. See common.py."""

import json

import openai
from common import FUNCTION, MESSAGES, MODEL, SCHEMA, TEXT, serve


def connect(**how):
    return openai.OpenAI(api_key="sk-client", **how)


def ask(client, order):
    # Without its key, as a caller who has none; with its own headers.
    headers = {**order["headers"], **({"Authorization": openai.Omit()} if order["keyless"] else {})}
    if order["way"].startswith("embeddings"):
        texts = TEXT if order["way"] == "embeddings-one" else [TEXT, TEXT]
        return embeddings(client.embeddings, {"model": MODEL, "input": texts, "extra_headers": headers})
    if order["way"] == "models":
        return models(client.models, {"extra_headers": headers})
    if order["way"].startswith("responses"):
        call = {"model": MODEL, "input": TEXT, "max_output_tokens": order["max_tokens"], "extra_headers": headers}
        ways = {
            "responses": response,
            "responses-stream": response_stream,
            "responses-helper": response_helper,
            "responses-tools": response_tools,
        }
        return ways[order["way"]](client.responses, call)
    call = {"model": MODEL, "messages": MESSAGES, "max_tokens": order["max_tokens"], "extra_headers": headers}
    ways = {"whole": whole, "stream": stream, "helper": helper, "tools": tools, "tools-stream": tools_stream}
    return ways[order["way"]](client.chat.completions, call)


def whole(completions, call):
    raw = completions.with_raw_response.create(**call)
    return said(raw.parse(), raw)


def stream(completions, call):
    raw = completions.with_raw_response.create(stream=True, stream_options={"include_usage": True}, **call)
    text, finish, usage = "", None, None
    for chunk in raw.parse():
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
    return {"text": text, "finish": finish, "usage": counts(usage)} | beneath(raw)


def helper(completions, call):
    with completions.stream(stream_options={"include_usage": True}, **call) as events:
        text = "".join(event.delta for event in events if event.type == "content.delta")
        final = said(events.get_final_completion())
    assert text == final["text"], "the helper's text is that of its events"
    return final


TOOLS = [{"type": "function", "function": {"name": FUNCTION, "parameters": SCHEMA}}]


def tools(completions, call):
    return called(completions.create(tools=TOOLS, tool_choice="required", **call))


def tools_stream(completions, call):
    with completions.stream(tools=TOOLS, stream_options={"include_usage": True}, **call) as events:
        return called(events.get_final_completion())


def called(completion):
    choice = completion.choices[0]
    function = choice.message.tool_calls[0].function
    report = {"text": function.name, "arguments": json.loads(function.arguments)}
    return report | {"finish": choice.finish_reason, "usage": counts(completion.usage)}


def response_tools(responses, call):
    answer = responses.create(tools=[{"type": "function", "name": FUNCTION, "parameters": SCHEMA, "strict": False}], **call)
    item = next(item for item in answer.output if item.type == "function_call")
    usage = [answer.usage.input_tokens, answer.usage.output_tokens]
    return {"text": item.name, "arguments": json.loads(item.arguments), "finish": answer.status, "usage": usage}


def said(completion, raw=None):
    choice = completion.choices[0]
    report = {"text": choice.message.content, "finish": choice.finish_reason, "usage": counts(completion.usage)}
    return report | (beneath(raw) if raw else {})


def counts(usage):
    return usage and [usage.prompt_tokens, usage.completion_tokens]


def response(responses, call):
    raw = responses.with_raw_response.create(**call)
    return said_response(raw.parse(), raw)


def response_stream(responses, call):
    raw = responses.with_raw_response.create(stream=True, **call)
    text, last, number = "", None, -1
    for event in raw.parse():
        assert event.sequence_number == number + 1, event
        last, number = event, event.sequence_number
        if event.type == "response.output_text.delta":
            text += event.delta
    # What was said is in the deltas: a stream that ended early does not repeat it.
    return said_response(last.response, raw) | {"text": text}


def response_helper(responses, call):
    with responses.stream(**call) as events:
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        final = said_response(events.get_final_response())
    assert text == final["text"], "the helper's text is that of its events"
    return final


def said_response(response, raw=None):
    usage = [response.usage.input_tokens, response.usage.output_tokens]
    report = {"text": response.output_text, "finish": response.status, "usage": usage}
    return report | (beneath(raw) if raw else {})


def embeddings(embeddings, call):
    raw = embeddings.with_raw_response.create(**call)
    answer = raw.parse()
    report = {"text": "", "finish": [len(one.embedding) for one in answer.data]}
    return report | {"usage": [answer.usage.prompt_tokens, 0]} | beneath(raw)


def models(models, call):
    listed = models.list(**call).data
    found = models.retrieve(listed[-1].id, **call)
    return {"text": " ".join(model.id for model in listed), "finish": found.id, "usage": None}


def beneath(raw):
    return {"headers": dict(raw.headers), "retries": raw.retries_taken}


serve(openai, connect, ask)
