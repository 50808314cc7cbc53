"""Calls Bedrock's own API with boto3, and prints the results by case, as JSON. aws_sdk.mjs does the same in
JavaScript. The endpoint is a Worker or the stand-in: the results must not differ.

The credentials and the endpoint are in the variables that every AWS SDK reads.

usage: boto3_bedrock.py CASE...
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

CLAUDE = "global.anthropic.claude-opus-5-5"
COUNTED = "anthropic.claude-sonnet-4-6"
NOVA = "amazon.nova-2-lite-v1:0"
EMBEDDING = "amazon.titan-embed-text-v2:0"

WEATHER = {
    "toolSpec": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
}


def new_client(service="bedrock-runtime", attempts=1, **options):
    config = Config(retries={"total_max_attempts": attempts, "mode": "standard"}, read_timeout=60)
    return boto3.client(service, region_name="ap-northeast-1", config=config, **options)


client = new_client()


def messages(prompt, **more):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": prompt}],
        **more,
    }
    return json.dumps(body, ensure_ascii=False)


def user(*content):
    return [{"role": "user", "content": list(content)}]


def without_latency(value):
    """Removes what differs from call to call."""
    if isinstance(value, dict):
        volatile = ["latencyMs", "invocationLatency", "firstByteLatency"]
        return {key: without_latency(it) for key, it in value.items() if key not in volatile}
    return [without_latency(it) for it in value] if isinstance(value, list) else value


def result(response):
    """Returns a response without its metadata."""
    response = {key: value for key, value in response.items() if key != "ResponseMetadata"}
    return without_latency(response)


def error_of(call):
    """Returns what an application sees of the error of a call."""
    try:
        call()
    except EventStreamError as error:
        return {"class": "EventStreamError", **error.response["Error"]}
    except ClientError as error:
        modelled = type(error).__name__
        metadata = error.response["ResponseMetadata"]
        is_declared = modelled != "ClientError" and isinstance(error, getattr(client.exceptions, modelled))
        return {
            "class": modelled,
            "is_declared": is_declared,
            "code": error.response["Error"]["Code"],
            "message": error.response["Error"]["Message"],
            "status": metadata["HTTPStatusCode"],
            "has_request_id": bool(metadata.get("RequestId")),
            "retries": metadata["RetryAttempts"],
        }
    return None


def invoke():
    response = client.invoke_model(modelId=CLAUDE, body=messages("こんにちは"))
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    counts = ["x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count"]
    return {
        "body": json.load(response["body"]),
        "content_type": response["contentType"],
        "counts": [headers.get(name) for name in counts],
        "has_latency": "x-amzn-bedrock-invocation-latency" in headers,
        "has_request_id": bool(response["ResponseMetadata"]["RequestId"]),
        "attempts": response["ResponseMetadata"]["RetryAttempts"],
    }


def invoke_stream():
    response = client.invoke_model_with_response_stream(modelId=CLAUDE, body=messages("Hi, 世界 👋"))
    events = [json.loads(event["chunk"]["bytes"]) for event in response["body"]]
    return {"content_type": response["contentType"], "events": without_latency(events)}


def converse():
    response = client.converse(
        modelId=CLAUDE,
        messages=user({"text": "Hello"}),
        system=[{"text": "Be brief."}],
        inferenceConfig={"maxTokens": 512, "stopSequences": ["!!!"]},
        additionalModelRequestFields={"thinking": {"type": "adaptive"}},
        additionalModelResponseFieldPaths=["/stop_sequence"],
        requestMetadata={"team": "example"},
    )
    return result(response)


def converse_stream():
    response = client.converse_stream(modelId=CLAUDE, messages=user({"text": "[[think Hm.]] Hello"}))
    return without_latency(list(response["stream"]))


def other_makers():
    response = client.converse(modelId=NOVA, messages=user({"text": "Hello"}))
    stream = client.converse_stream(modelId=NOVA, messages=user({"text": "[[say Hi]]"}))["stream"]
    body = {"inferenceConfig": {"maxTokens": 50}, "messages": user({"text": "Hello"})}
    invoked = client.invoke_model(modelId=NOVA, body=json.dumps(body))
    embedded = client.invoke_model(modelId=EMBEDDING, body=json.dumps({"inputText": "one two", "dimensions": 256}))
    return {
        "whole": result(response),
        "streamed": without_latency(list(stream)),
        "invoked": json.load(invoked["body"]),
        "embedded": json.load(embedded["body"])["inputTextTokenCount"],
    }


def tools():
    turns = user({"text": '[[tool get_weather {"city":"東京"}]]'})
    config = {"tools": [WEATHER], "toolChoice": {"auto": {}}}
    first = client.converse(modelId=CLAUDE, messages=turns, toolConfig=config)
    message = first["output"]["message"]
    call = message["content"][0]["toolUse"]
    answer = {"toolUseId": call["toolUseId"], "content": [{"json": {"degrees": 21}}], "status": "success"}
    turns += [message, {"role": "user", "content": [{"toolResult": answer}]}]
    second = client.converse(modelId=CLAUDE, messages=turns, toolConfig=config)
    stream = client.converse_stream(modelId=CLAUDE, messages=turns[:1], toolConfig=config)["stream"]
    return {"first": result(first), "second": result(second), "streamed": without_latency(list(stream))}


def content():
    image = {"image": {"format": "png", "source": {"bytes": b"an image"}}}
    source = {"bytes": "The sky is blue.".encode()}
    document = {"document": {"format": "txt", "name": "Notes", "source": source, "citations": {"enabled": True}}}
    response = client.converse(modelId=CLAUDE, messages=user(image, document, {"text": "Why?"}))
    return result(response)


def cache():
    system = [{"text": "word " * 600}, {"cachePoint": {"type": "default"}}]
    calls = [client.converse(modelId=CLAUDE, messages=user({"text": "Hi"}), system=system) for _ in range(2)]
    return [call["usage"]["cacheReadInputTokens"] for call in calls]


def count_tokens():
    text = "one two three"
    by_body = client.count_tokens(modelId=COUNTED, input={"invokeModel": {"body": messages(text)}})
    by_messages = client.count_tokens(modelId=COUNTED, input={"converse": {"messages": user({"text": text})}})
    return [by_body["inputTokens"], by_messages["inputTokens"]]


def guardrail():
    config = {"guardrailIdentifier": "abc123", "guardrailVersion": "1", "trace": "enabled"}
    turns = user({"text": "a forbidden word"})
    whole = client.converse(modelId=CLAUDE, messages=turns, guardrailConfig=config)
    stream = client.converse_stream(modelId=CLAUDE, messages=turns, guardrailConfig=config)["stream"]
    invoked = client.invoke_model(
        modelId=CLAUDE,
        body=messages("a forbidden word"),
        guardrailIdentifier="abc123",
        guardrailVersion="1",
        trace="ENABLED",
    )
    applied = client.apply_guardrail(
        guardrailIdentifier="abc123",
        guardrailVersion="DRAFT",
        source="OUTPUT",
        content=[{"text": {"text": "Ask jane@example.com."}}],
    )
    return {
        "whole": result(whole),
        "streamed": without_latency(list(stream)),
        "invoked": json.load(invoked["body"]),
        "applied": result(applied),
    }


FAULTS = [
    "throttled",
    "server_error",
    "unavailable",
    "access_denied",
    "validation",
    "not_found",
    "model_timeout",
    "model_error",
    "model_not_ready",
    "quota",
]


def errors():
    """Fails by each error that the operations declare."""
    calls = {
        "invoke": lambda prompt: client.invoke_model(modelId=CLAUDE, body=messages(prompt)),
        "invoke_stream": lambda prompt: client.invoke_model_with_response_stream(modelId=CLAUDE, body=messages(prompt)),
        "converse": lambda prompt: client.converse(modelId=NOVA, messages=user({"text": prompt})),
        "converse_stream": lambda prompt: client.converse_stream(modelId=NOVA, messages=user({"text": prompt})),
    }
    return {
        name: {fault: error_of(lambda call=call, fault=fault: call(f"fault:{fault}")) for fault in FAULTS}
        for name, call in calls.items()
    }


STREAM_FAULTS = [
    "stream_exception",
    "stream_model_error",
    "stream_timeout",
    "stream_internal",
    "stream_validation",
    "stream_unavailable",
]


def stream_errors():
    """Fails in the middle of a stream."""

    def invoke(prompt):
        response = client.invoke_model_with_response_stream(modelId=CLAUDE, body=messages(prompt))
        list(response["body"])

    def converse(prompt):
        list(client.converse_stream(modelId=NOVA, messages=user({"text": prompt}))["stream"])

    # ConverseStream does not declare this one.
    calls = lambda fault: [invoke] if fault == "stream_timeout" else [invoke, converse]
    return {
        fault: [error_of(lambda call=call, fault=fault: call(f"fault:{fault}")) for call in calls(fault)]
        for fault in STREAM_FAULTS
    }


def refused():
    """Sends what Bedrock refuses."""
    return {
        "a blank text": error_of(lambda: client.converse(modelId=CLAUDE, messages=user({"text": " "}))),
        "an unknown model": error_of(lambda: client.converse(modelId="acme.model-v1:0", messages=user({"text": "Hi"}))),
        "a body that is not json": error_of(lambda: client.invoke_model(modelId=CLAUDE, body=b"{")),
        "a missing guardrail": error_of(
            lambda: client.apply_guardrail(
                guardrailIdentifier="missing1",
                guardrailVersion="1",
                source="INPUT",
                content=[{"text": {"text": "Hi"}}],
            )
        ),
    }


def catalog():
    bedrock = new_client("bedrock")
    profiles = bedrock.list_inference_profiles(typeEquals="SYSTEM_DEFINED")["inferenceProfileSummaries"]
    profile = bedrock.get_inference_profile(inferenceProfileIdentifier=CLAUDE)
    models = bedrock.list_foundation_models()["modelSummaries"]
    return {
        "profile": [profile["inferenceProfileId"], profile["status"], profile["type"]],
        "is_listed": CLAUDE in [it["inferenceProfileId"] for it in profiles],
        "has_models": bool(models),
    }


def not_served():
    """Calls operations that no gateway of models has."""
    location = {"s3OutputDataConfig": {"s3Uri": "s3://example/"}}
    calls = {
        "list_async_invokes": lambda: client.list_async_invokes(),
        "start_async_invoke": lambda: client.start_async_invoke(
            modelId=NOVA, modelInput={"a": 1}, outputDataConfig=location
        ),
    }
    return {name: error_of(call) for name, call in calls.items()}


def retries():
    """Lets the client repeat a call whose first two attempts are throttled."""
    retrying = new_client(attempts=3)
    response = retrying.converse(modelId=NOVA, messages=user({"text": "fault:throttled#2"}))
    return [response["ResponseMetadata"]["RetryAttempts"], response["stopReason"]]


def credentials():
    """Calls with credentials that are not accepted, one after the other."""
    ids = {"aws_access_key_id": client._request_signer._credentials.access_key}
    secret = {"aws_secret_access_key": client._request_signer._credentials.secret_key}
    rows = {
        "a wrong secret": {**ids, "aws_secret_access_key": "wrong"},
        "an unknown key": {"aws_access_key_id": "AKIAUNKNOWN7EXAMPLES", **secret},
        "a session token that nobody issued": {**ids, **secret, "aws_session_token": "token"},
    }
    call = lambda options: new_client(**options).converse(modelId=CLAUDE, messages=user({"text": "Hi"}))
    return {name: error_of(lambda options=options: call(options)) for name, options in rows.items()}


def bearer():
    """Calls with the bearer token of the environment, which is not accepted."""
    error = error_of(lambda: client.converse(modelId=CLAUDE, messages=user({"text": "Hi"})))
    return {name: error[name] for name in ["class", "code", "status"]}


json.dump({case: globals()[case]() for case in sys.argv[1:]}, sys.stdout, ensure_ascii=False)
