"""boto3's Lambda client, with another URL: prints what it is told of each invocation, as JSON.

usage: lambda.py URL
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

client = boto3.client(
    "lambda",
    endpoint_url=sys.argv[1],
    region_name="ap-northeast-1",
    config=Config(retries={"max_attempts": 0}, proxies={}),
)


def invoke(**parameters):
    try:
        answer = client.invoke(**parameters)
    except ClientError as error:
        metadata = error.response["ResponseMetadata"]
        return {"error": error.response["Error"], "status": metadata["HTTPStatusCode"]}
    return {
        "status": answer["StatusCode"],
        "version": answer.get("ExecutedVersion"),
        "function_error": answer.get("FunctionError"),
        "request_id": answer["ResponseMetadata"].get("RequestId"),
        "payload": answer["Payload"].read().decode(),
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
        "wrong prompt": invoke(FunctionName=NAME, Payload='{"prompt": 5}'),
        "not json": invoke(FunctionName=NAME, Payload="prompt=Hello"),
    },
    sys.stdout,
)
