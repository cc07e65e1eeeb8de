"""The official Google Gen AI SDK, asked for content, to count tokens, to embed and for models. See common.py."""

import types as modules

import httpx2
from common import FUNCTION, MODEL, SCHEMA, TEXT, serve
from google import genai
from google.genai import errors, types

# By the names that the other SDKs have for the same.
SDK = modules.SimpleNamespace(DefaultHttpxClient=httpx2.Client, APIStatusError=errors.APIError)


def connect(base_url, max_retries, http_client):
    retries = types.HttpRetryOptions(attempts=max_retries + 1)
    options = types.HttpOptions(base_url=base_url, retry_options=retries, httpx_client=http_client)
    return genai.Client(api_key="AIza-client", http_options=options)


def ask(client, order):
    options = types.HttpOptions(headers=order["headers"])
    config = types.GenerateContentConfig(max_output_tokens=order["max_tokens"], http_options=options)
    call = {"model": MODEL, "contents": TEXT}
    match order["way"]:
        case "whole":
            return said([client.models.generate_content(config=config, **call)])
        case "stream":
            return said(list(client.models.generate_content_stream(config=config, **call)))
        case "tools":
            return called([client.models.generate_content(config=with_tools(config), **call)])
        case "tools-stream":
            return called(list(client.models.generate_content_stream(config=with_tools(config), **call)))
        case "count":
            total = client.models.count_tokens(config={"http_options": options}, **call).total_tokens
            return {"text": "", "finish": None, "usage": [total, 0]}
        case "embed":
            contents = [TEXT, TEXT] if order["max_tokens"] > 1 else TEXT
            answer = client.models.embed_content(
                model=MODEL, contents=contents, config=types.EmbedContentConfig(http_options=options)
            )
            return {"text": "", "finish": [len(one.values) for one in answer.embeddings], "usage": None}
        case "models":
            listed = list(client.models.list())
            found = client.models.get(model=listed[-1].name)
            return {"text": " ".join(model.display_name for model in listed), "finish": found.name, "usage": None}


def with_tools(config):
    declared = types.FunctionDeclaration(name=FUNCTION, parameters_json_schema=SCHEMA)
    return config.model_copy(update={"tools": [types.Tool(function_declarations=[declared])]})


def called(chunks):
    call = next(call for chunk in chunks for call in chunk.function_calls or [])
    return said(chunks) | {"text": call.name, "arguments": call.args}


def said(chunks):
    last = chunks[-1]
    usage = last.usage_metadata
    return {
        "text": "".join(chunk.text or "" for chunk in chunks),
        "finish": last.candidates[0].finish_reason.value,
        "usage": [usage.prompt_token_count, (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)],
        "headers": dict(last.sdk_http_response.headers),
    }


def told(error):
    return {
        "raised": type(error).__name__,
        "status": error.code,
        "type": error.status,
        "body": error.details,
        "headers": dict(error.response.headers),
    }


serve(SDK, connect, ask, told)
