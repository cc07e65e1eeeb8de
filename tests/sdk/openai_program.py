"""The official OpenAI SDK, asked to chat. See common.py."""

import openai
from common import MESSAGES, MODEL, serve


def connect(**how):
    return openai.OpenAI(api_key="sk-client", **how)


def ask(client, order):
    # Without its key, as a caller who has none; with its own headers.
    headers = {**order["headers"], **({"Authorization": openai.Omit()} if order["keyless"] else {})}
    call = {"model": MODEL, "messages": MESSAGES, "max_tokens": order["max_tokens"], "extra_headers": headers}
    return {"whole": whole, "stream": stream, "helper": helper}[order["way"]](client.chat.completions, call)


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


def said(completion, raw=None):
    choice = completion.choices[0]
    report = {"text": choice.message.content, "finish": choice.finish_reason, "usage": counts(completion.usage)}
    return report | (beneath(raw) if raw else {})


def counts(usage):
    return usage and [usage.prompt_tokens, usage.completion_tokens]


def beneath(raw):
    return {"headers": dict(raw.headers), "retries": raw.retries_taken}


serve(openai, connect, ask)
