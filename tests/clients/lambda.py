"""Invokes bedrock-edge with boto3's Lambda client, and prints the results by name, as JSON.

usage: lambda.py URL
"""

import json
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError



def lambda_client(**parameters):
    return boto3.client(
        "lambda",
        endpoint_url=sys.argv[1],
        region_name="ap-northeast-1",
        config=Config(retries={"max_attempts": 0}, proxies={}),
        **parameters,
    )


def invoke(client=lambda_client(), **parameters):
    try:
        response = client.invoke(**parameters)
    except ClientError as error:
        metadata = error.response["ResponseMetadata"]
        return {"error": error.response["Error"], "status": metadata["HTTPStatusCode"]}
    return {
        "status": response["StatusCode"],
        "version": response.get("ExecutedVersion"),
        "function_error": response.get("FunctionError"),
        "request_id": response["ResponseMetadata"].get("RequestId"),
        "payload": response["Payload"].read().decode(),
    }


def invoke_with_response_stream(client=lambda_client(), **parameters):
    try:
        response = client.invoke_with_response_stream(**parameters)
    except ClientError as error:
        return {"error": error.response["Error"]}
    events = list(response["EventStream"])
    chunks = [event["PayloadChunk"]["Payload"] for event in events if "PayloadChunk" in event]
    return {
        "status": response["StatusCode"],
        "version": response.get("ExecutedVersion"),
        "content_type": response.get("ResponseStreamContentType"),
        "request_id": response["ResponseMetadata"].get("RequestId"),
        "chunks": [chunk.decode() for chunk in chunks],
        "complete": events[-1].get("InvokeComplete") if events else None,
    }


NAME = "my-function"
ARN = f"arn:aws:lambda:ap-northeast-1:123456789012:function:{NAME}"
PROMPT = json.dumps({"prompt": "こんにちは"})

json.dump(
    {
        "name": invoke(FunctionName=NAME, Payload=PROMPT),
        "arn": invoke(FunctionName=ARN, Payload=PROMPT),
        "partial arn": invoke(FunctionName=f"123456789012:function:{NAME}", Payload=PROMPT),
        "name and alias": invoke(FunctionName=f"{NAME}:prod", Payload=PROMPT),
        "qualifier": invoke(FunctionName=NAME, Qualifier="$LATEST", Payload=PROMPT),
        "no payload": invoke(FunctionName=NAME),
        "event": invoke(
            FunctionName=NAME,
            InvocationType="Event",
            Payload=json.dumps({"prompt": "asynchronously"}),
        ),
        "dry run": invoke(FunctionName=NAME, InvocationType="DryRun", Payload=PROMPT),
        "stream": invoke_with_response_stream(FunctionName=NAME, Payload=PROMPT),
        "whole": invoke_with_response_stream(
            FunctionName=ARN, Payload=json.dumps({"prompt": "whole", "stream": False})
        ),
        "broken stream": invoke_with_response_stream(
            FunctionName=NAME, Payload=json.dumps({"prompt": "fault:stream_exception"})
        ),
        "wrong stream": invoke_with_response_stream(FunctionName=NAME, Payload="prompt=Hello"),
        "wrong prompt": invoke(FunctionName=NAME, Payload='{"prompt": 5}'),
        "not json": invoke(FunctionName=NAME, Payload="prompt=Hello"),
        "wrong key": invoke(
            lambda_client(aws_secret_access_key="wrong" * 8, aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"]),
            FunctionName=NAME,
            Payload=PROMPT,
        ),
    },
    sys.stdout,
)
