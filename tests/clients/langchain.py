"""Calls Bedrock with LangChain's `ChatBedrockConverse`, and prints the results by case, as JSON.

usage: langchain.py CASE...
"""

import json
import sys

from langchain_aws import ChatBedrockConverse
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

CLAUDE = "global.anthropic.claude-opus-5-5"
NOVA = "amazon.nova-2-lite-v1:0"


def new_model(model=CLAUDE):
    return ChatBedrockConverse(model=model, region_name="ap-northeast-1", max_tokens=1024)


def text(message):
    content = message.content
    return content if isinstance(content, str) else "".join(it.get("text", "") for it in content)


def invoke():
    outcomes = {}
    for name, model in [("claude", CLAUDE), ("nova", NOVA)]:
        message = new_model(model).invoke([("system", "Be brief."), ("human", "Hello, 世界 👋")])
        usage = message.usage_metadata
        outcomes[name] = [text(message), message.response_metadata["stopReason"], usage["total_tokens"]]
    return outcomes


def stream():
    chunks = list(new_model().stream("Hello"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return [text(whole), len(chunks) > 5, whole.usage_metadata["output_tokens"]]


@tool
def get_weather(city: str) -> str:
    """Tells the weather."""
    return f"sunny in {city}"


def tools():
    model = new_model().bind_tools([get_weather])
    turns = [HumanMessage('[[tool get_weather {"city":"東京"}]]')]
    call = model.invoke(turns)
    turns += [call, get_weather.invoke(call.tool_calls[0])]
    return [[it["args"] for it in call.tool_calls], text(model.invoke(turns))]


class Recipe(BaseModel):
    title: str
    minutes: int


def structured():
    model = new_model(NOVA).with_structured_output(Recipe)
    return model.invoke("Tea").model_dump()


def errors():
    outcomes = {}
    for fault in ["validation", "access_denied"]:
        try:
            new_model().invoke(f"fault:{fault}")
        except Exception as error:
            outcomes[fault] = type(error).__name__
    return outcomes


json.dump({case: globals()[case]() for case in sys.argv[1:]}, sys.stdout, ensure_ascii=False)
