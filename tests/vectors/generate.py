"""Writes the signing vectors of this folder, one file per case, with botocore as the signer.

    python3 -m venv venv
    venv/bin/pip install botocore==1.44.5
    venv/bin/python tests/vectors/generate.py

botocore is AWS's own signer in Python. It shares no code with the Rust signer that the vectors test,
nor with the stand-in's verification. The time is fixed, so the output is deterministic. The keys are
the example keys of AWS's documentation.
"""

import json
import pathlib
from datetime import datetime, timezone
from unittest import mock

import botocore
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

BOTOCORE = "1.44.5"
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "ap-northeast-1"
SERVICE = "bedrock"
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)

ENDPOINT = "https://bedrock-runtime.ap-northeast-1.amazonaws.com"
MODEL = "apac.anthropic.claude-sonnet-4-20250514-v1%3A0"
PROFILE = "arn%3Aaws%3Abedrock%3Aap-northeast-1%3A123456789012%3Ainference-profile%2F" + MODEL


def body(prompt):
    return json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 1024,
            "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


# case: (url, body, session token)
CASES = {
    "model-id-with-colon": (f"{ENDPOINT}/model/{MODEL}/invoke", body("Hello"), None),
    "profile-arn-with-slash": (f"{ENDPOINT}/model/{PROFILE}/invoke", body("Hello"), None),
    "session-token": (
        f"{ENDPOINT}/model/{MODEL}/invoke",
        body("Hello"),
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWL+WsKWHGBuFqwAeMi==",
    ),
    "body-in-japanese": (
        f"{ENDPOINT}/model/{MODEL}/invoke",
        body("東京の天気を教えてください。🌸\n改行と\"引用符\""),
        None,
    ),
    "non-default-port": (f"http://127.0.0.1:8788/model/{MODEL}/invoke", body("Hello"), None),
}


class Recording(SigV4Auth):
    """Records the signer's intermediate results."""

    def canonical_request(self, request):
        self.canonical = super().canonical_request(request)
        return self.canonical

    def string_to_sign(self, request, canonical_request):
        self.to_sign = super().string_to_sign(request, canonical_request)
        return self.to_sign


def vector(case, url, text, session_token):
    headers = {"content-type": "application/json", "accept": "application/json"}
    request = AWSRequest("POST", url, headers=headers, data=text.encode())
    credentials = Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY, session_token)
    signer = Recording(credentials, SERVICE, REGION)
    with mock.patch("botocore.auth.get_current_datetime", return_value=TIME):
        signer.add_auth(request)
    return {
        "case": case,
        "method": "POST",
        "url": url,
        "headers": headers,
        "body": text,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY,
        "session_token": session_token,
        "region": REGION,
        "service": SERVICE,
        "time": TIME.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "canonical_request": signer.canonical,
        "string_to_sign": signer.to_sign,
        "authorization": request.headers["Authorization"],
    }


def main():
    if botocore.__version__ != BOTOCORE:
        raise SystemExit(f"expected botocore {BOTOCORE}, got {botocore.__version__}: pip install botocore=={BOTOCORE}")
    folder = pathlib.Path(__file__).parent
    for case, (url, text, session_token) in CASES.items():
        content = json.dumps(vector(case, url, text, session_token), ensure_ascii=False, indent=2)
        (folder / f"{case}.json").write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
