"""Calls Claude with `AnthropicBedrock` of Anthropic's package, which calls InvokeModel, and prints the results
by case, as JSON. anthropic_bedrock.mjs does the same in JavaScript.

usage: anthropic_bedrock.py CASE...
"""

import json
import os
import sys

import anthropic

CLAUDE = "global.anthropic.claude-opus-5-5"


def new_client(**options):
    base_url = os.environ["AWS_ENDPOINT_URL"]
    return anthropic.AnthropicBedrock(aws_region="ap-northeast-1", base_url=base_url, max_retries=0, **options)


client = new_client()


def ask(prompt, **parameters):
    return {
        "model": CLAUDE,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": prompt}],
        **parameters,
    }


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def error_of(call):
    try:
        call()
    except anthropic.APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "body": error.body}
    return None


def create():
    message = client.messages.create(**ask("Hello, 世界 👋"))
    return [text(message), message.model, message.stop_reason, message.usage.output_tokens]


def stream():
    with client.messages.stream(**ask("Hello", thinking={"type": "adaptive"})) as events:
        final = events.get_final_message()
    return [[block.to_dict() for block in final.content], final.stop_reason, final.usage.output_tokens]


def tools():
    tool = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
    parameters = ask("[[tool get_time]]", tools=[tool])
    first = client.messages.create(**parameters)
    result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "9:00"}
    turns = [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = client.messages.create(**{**parameters, "messages": [*parameters["messages"], *turns]})
    return [first.stop_reason, text(second)]


def errors():
    faults = ["throttled", "validation", "access_denied", "not_found", "server_error", "model_timeout"]
    return {fault: error_of(lambda fault=fault: client.messages.create(**ask(f"fault:{fault}"))) for fault in faults}


def credentials():
    key = os.environ["AWS_ACCESS_KEY_ID"]
    wrong = new_client(aws_access_key=key, aws_secret_key="wrong")
    error = error_of(lambda: wrong.messages.create(**ask("Hello")))
    return [error["class"], error["status"]]


def bearer():
    """Calls with a token in place of a signature."""
    token = os.environ["BEARER_TOKEN"]
    message = new_client(api_key=token).messages.create(**ask("[[say Hi]]"))
    wrong = error_of(lambda: new_client(api_key="wrong").messages.create(**ask("Hi")))
    return [text(message), wrong["class"], wrong["status"]]


json.dump({case: globals()[case]() for case in sys.argv[1:]}, sys.stdout, ensure_ascii=False)
