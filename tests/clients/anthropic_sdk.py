"""Calls the Messages API with Anthropic's package `anthropic` and its helpers, and prints the results
by name, as JSON. anthropic_sdk.mjs does the same in JavaScript.

usage: anthropic_sdk.py URL TOKEN CASE...

The variable MODEL names another model than Opus.
"""

import json
import os
import sys

import anthropic
import httpx2
from anthropic import beta_tool
from pydantic import BaseModel

OPUS = os.environ.get("MODEL", "claude-opus-5-5")
SONNET = "claude-sonnet-4-6"

url, token, *cases = sys.argv[1:]

requests = 0


def count(_):
    global requests
    requests += 1


def new_client(**options):
    http_client = httpx2.Client(trust_env=False, event_hooks={"request": [count]})
    options = {"auth_token": token, "max_retries": 0, **options}
    return anthropic.Anthropic(base_url=url, http_client=http_client, **options)


client = new_client()


def ask(content, **parameters):
    return {
        "model": OPUS,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": content}],
        **parameters,
    }


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def error_of(call):
    """Returns what an application sees of the error of a call, and how often the client sent it."""
    global requests
    requests = 0
    try:
        call()
    except anthropic.APIError as error:
        return {
            "class": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "type": getattr(error, "type", None),
            "message": getattr(error, "api_message", None) or str(error),
            "has_request_id": bool(getattr(error, "request_id", None)),
            "requests": requests,
        }
    return {"requests": requests}


def create():
    message = client.messages.create(**ask("Hello", system="Be brief."))
    return {
        "text": text(message),
        "model": message.model,
        "role": message.role,
        "stop_reason": message.stop_reason,
        "input_tokens": message.usage.input_tokens,
        "output_tokens": message.usage.output_tokens,
        "has_id": message.id.startswith("msg_"),
        "has_request_id": bool(message._request_id),
    }


def stream():
    types, deltas = [], []
    with client.messages.stream(**ask("Hello, 世界 👋", thinking={"type": "adaptive"})) as events:
        for event in events:
            if event.type == "text":
                deltas.append(event.text)
            # The SDK adds events of its own, such as "text".
            if "_" in event.type and event.type not in types:
                types.append(event.type)
        final = events.get_final_message()
    whole = client.messages.create(**ask("Hello, 世界 👋", thinking={"type": "adaptive"}))
    return {
        "types": types,
        "text": "".join(deltas),
        "model": final.model,
        "stop_reason": final.stop_reason,
        "output_tokens": final.usage.output_tokens,
        "is_that_of_create": [block.to_dict() for block in final.content]
        == [block.to_dict() for block in whole.content],
    }


def tools():
    calls = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: The city.
        """
        calls.append(["get_weather", {"city": city}])
        return f"sunny in {city}"

    @beta_tool
    def get_time() -> str:
        """Tells the time."""
        calls.append(["get_time", {}])
        return "9:00"

    prompt = '[[tool get_weather {"city":"東京"}]] [[tool get_time]]'
    parameters = ask(prompt, tools=[get_weather, get_time], thinking={"type": "adaptive"})
    replies = {}
    for name, stream in [("whole", False), ("streamed", True)]:
        runner = client.beta.messages.tool_runner(**parameters, stream=stream)
        replies[name] = text(runner.until_done())
    return {"calls": calls, **replies}


class Recipe(BaseModel):
    title: str
    minutes: int
    steps: list[str]


def parse():
    recipe = '{"title":"お茶","minutes":3,"steps":["Boil","Wait"]}'
    parameters = ask(f"[[say {recipe}]]", model=SONNET)
    parsed = client.messages.parse(**parameters, output_format=Recipe)
    with client.messages.stream(**parameters, output_format=Recipe) as events:
        streamed = events.get_final_message()
    return {
        "parsed": parsed.parsed_output.model_dump(),
        "streamed": streamed.parsed_output.model_dump(),
    }


def thinking():
    """Sends thinking back as it came, with the result of a tool, and altered."""
    tool = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
    parameters = ask("[[think Hm.]] [[tool get_time]]", thinking={"type": "adaptive"}, tools=[tool])
    with client.messages.stream(**parameters) as events:
        first = events.get_final_message()
    call = first.content[-1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "9:00"}
    turns = [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    again = {**parameters, "messages": [*parameters["messages"], *turns]}
    second = client.messages.create(**again)
    altered = json.loads(json.dumps([block.to_dict() for block in first.content]))
    altered[0]["thinking"] += "!"
    turns[0]["content"] = altered
    refused = {**again, "messages": [*parameters["messages"], *turns]}
    return {
        "first": [block.type for block in first.content],
        "thinking": first.content[0].thinking,
        "input": call.input,
        "second": text(second),
        "altered": error_of(lambda: client.messages.create(**refused)),
    }


def content():
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "The sky is blue."},
        "title": "Notes",
        "citations": {"enabled": True},
    }
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
    }
    cited = ask([document, image, {"type": "text", "text": "Why?"}])
    whole = client.messages.create(**cited)
    with client.messages.stream(**cited) as events:
        streamed = events.get_final_message()
    refused = client.messages.create(**ask("[[refuse]]"))
    return {
        "whole": [it.cited_text for it in whole.content[0].citations],
        "streamed": [it.cited_text for it in streamed.content[0].citations],
        "refused": [refused.stop_reason, len(refused.content)],
        "cut": client.messages.create(**ask("one two three", max_tokens=2)).stop_reason,
        "stopped": client.messages.create(**ask("one", stop_sequences=["said"])).stop_sequence,
    }


def cache():
    system = [
        {"type": "text", "text": "word " * 600, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    usages = [client.messages.create(**ask(name, system=system)).usage for name in ["one", "two"]]
    with client.messages.stream(**ask("three", system=system)) as events:
        usages.append(events.get_final_message().usage)
    return [
        [it.input_tokens, it.cache_creation_input_tokens or 0, it.cache_read_input_tokens or 0]
        for it in usages
    ]


def count_tokens():
    tool = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
    parameters = {
        "messages": [{"role": "user", "content": "one two three four five six seven"}],
        "system": "Be brief.",
    }
    counted = client.messages.count_tokens(model=SONNET, **parameters).input_tokens
    estimated = client.messages.count_tokens(model=OPUS, tools=[tool], **parameters).input_tokens
    return {"counted": counted, "is_estimated": estimated >= counted}


def models():
    global requests
    requests = 0
    paged = [model.id for model in client.models.list(limit=3)]
    pages = requests
    all_of_them = client.models.list(limit=1000)
    opus = client.models.retrieve(OPUS)
    first = all_of_them.data[0]
    after = client.models.list(after_id=first.id, limit=1).data[0].id
    return {
        "pages": pages > 1,
        "is_all": paged == [model.id for model in all_of_them.data],
        "has_other_makers": "nova-2-lite" in paged,
        "has_more": all_of_them.has_more,
        "after": after == paged[1],
        "opus": [opus.id, opus.type, bool(opus.display_name), bool(opus.created_at)],
        "unknown": error_of(lambda: client.models.retrieve("claude-2")),
    }


def beta():
    """Asks for betas and a field that Bedrock refuses, as other clients do by habit."""
    parameters = ask("Hello", betas=["prompt-caching-scope-2026-01-05", "effort-2025-11-24"])
    response = client.beta.messages.with_raw_response.create(**parameters, service_tier="auto")
    return {"text": text(response.parse()), "removed": response.headers.get("x-bedrock-removed")}


def errors():
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    search = {"type": "web_search_20250305", "name": "web_search"}
    server = {"type": "url", "name": "a", "url": "https://example.com"}
    rows = {
        "wrong token": lambda: new_client(auth_token="wrong").messages.create(**ask("Hello")),
        "wrong key": lambda: new_client(auth_token=None, api_key="wrong").messages.create(**ask("Hello")),
        "unknown model": lambda: client.messages.create(**ask("Hello", model="claude-2")),
        "max_tokens of 0": lambda: client.messages.create(**ask("Hello", max_tokens=0)),
        "an image by URL": lambda: client.messages.create(**ask([image])),
        "web search": lambda: client.messages.create(**ask("Hello", tools=[search])),
        "mcp_servers": lambda: client.beta.messages.create(**ask("Hello", mcp_servers=[server])),
        "a large body": lambda: client.messages.create(**ask("x" * 60_000)),
    }
    for fault in FAULTS:
        rows[fault] = lambda fault=fault: client.messages.create(**ask(f"fault:{fault}"))
    return {name: error_of(call) for name, call in rows.items()}


FAULTS = [
    "throttled",
    "unavailable",
    "server_error",
    "model_timeout",
    "access_denied",
    "not_found",
    "validation",
    "hang_up_before",
    "not_json",
]


def retries():
    """Lets the client repeat what failed: once with success, and where a retry may help."""
    retrying = new_client(max_retries=1)
    rows = {
        "throttled": lambda: retrying.messages.create(**ask("fault:throttled")),
        "access_denied": lambda: retrying.messages.create(**ask("fault:access_denied")),
        "validation": lambda: retrying.messages.create(**ask("fault:validation")),
        "wrong token": lambda: new_client(auth_token="wrong", max_retries=1).messages.create(**ask("Hi")),
    }
    return {name: error_of(call)["requests"] for name, call in rows.items()}


def budget():
    """Has a spent budget. A retry is useless until it is renewed."""
    error = error_of(lambda: new_client(max_retries=2).messages.create(**ask("Hello")))
    return [error["class"], error["status"], error["requests"]]


def stream_errors():
    def consume(fault):
        with client.messages.stream(**ask(f"fault:{fault}")) as events:
            for _ in events:
                pass

    faults = ["stream_exception", "stream_timeout", "stream_internal", "stream_end", "stream_cut", "stream_hang_up"]
    errors = {fault: error_of(lambda fault=fault: consume(fault)) for fault in faults}
    return {fault: error["type"] for fault, error in errors.items()}


json.dump({case: globals()[case]() for case in cases}, sys.stdout, ensure_ascii=False)
