"""The official Anthropic SDK, asked for messages, to count tokens and for models. See common.py."""

import anthropic
from common import FUNCTION, MESSAGES, MODEL, SCHEMA, serve


def connect(**how):
    return anthropic.Anthropic(api_key="sk-client", **how)


def ask(client, order):
    # Without its key, as a caller who has none; with its own headers.
    keyless = {"Authorization": anthropic.Omit(), "X-Api-Key": anthropic.Omit()} if order["keyless"] else {}
    headers = {**order["headers"], **keyless}
    if order["way"] == "count":
        return count(client.messages, {"model": MODEL, "messages": MESSAGES, "extra_headers": headers})
    if order["way"] == "models":
        return models(client.models, {"extra_headers": headers})
    call = {"model": MODEL, "messages": MESSAGES, "max_tokens": order["max_tokens"], "extra_headers": headers}
    ways = {"whole": whole, "stream": stream, "helper": helper, "tools": tools, "tools-stream": tools_stream}
    return ways[order["way"]](client.messages, call)


def whole(messages, call):
    raw = messages.with_raw_response.create(**call)
    return said(raw.parse(), raw)


def stream(messages, call):
    raw = messages.with_raw_response.create(stream=True, **call)
    text, finish, usage, last = "", None, None, None
    for event in raw.parse():
        last = event.type
        if event.type == "message_start":
            usage = counts(event.message.usage)
        elif event.type == "content_block_delta":
            text += event.delta.text
        elif event.type == "message_delta":
            finish = event.delta.stop_reason
            # The last word on the output; the input too, where the event has it.
            usage = [event.usage.input_tokens or usage[0], event.usage.output_tokens]
    assert last == "message_stop", last
    return {"text": text, "finish": finish, "usage": usage} | beneath(raw)


def helper(messages, call):
    with messages.stream(**call) as events:
        text = "".join(events.text_stream)
        final = said(events.get_final_message())
    assert text == final["text"], "the helper's text is that of its events"
    return final


def count(messages, call):
    raw = messages.with_raw_response.count_tokens(**call)
    return {"text": "", "finish": None, "usage": [raw.parse().input_tokens, 0]} | beneath(raw)


def models(models, call):
    listed = models.list(**call).data
    found = models.retrieve(listed[-1].id, **call)
    return {"text": " ".join(model.id for model in listed), "finish": found.id, "usage": None}


TOOLS = [{"name": FUNCTION, "input_schema": SCHEMA}]


def tools(messages, call):
    return called(messages.create(tools=TOOLS, tool_choice={"type": "any"}, **call))


def tools_stream(messages, call):
    with messages.stream(tools=TOOLS, **call) as events:
        return called(events.get_final_message())


def called(message):
    block = next(block for block in message.content if block.type == "tool_use")
    report = {"text": block.name, "arguments": block.input}
    return report | {"finish": message.stop_reason, "usage": counts(message.usage)}


def said(message, raw=None):
    text = "".join(block.text for block in message.content)
    report = {"text": text, "finish": message.stop_reason, "usage": counts(message.usage)}
    return report | (beneath(raw) if raw else {})


def counts(usage):
    return [usage.input_tokens, usage.output_tokens]


def beneath(raw):
    return {"headers": dict(raw.headers), "retries": raw.retries_taken}


serve(anthropic, connect, ask)
