"""What the programs of all SDKs share: one order a line on stdin, the list of its reports a line on stdout."""

import json
import sys
import time
from datetime import datetime

MODEL = "claude-3-5-haiku-latest"
TEXT = "How long is a minute?"
MESSAGES = [{"role": "user", "content": TEXT}]
# A function that the model may call.
FUNCTION = "get_weather"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
# Who is told to wait longer is not made to: that it would have waited so long is in the report.
SLEEP_MAX_S = 2


class Wire:
    """What happens beneath the SDK: the status of each attempt, what it was told, how long it slept between."""

    def __init__(self):
        self.attempts = []
        self.slept = []

    def response(self, response):
        told = response.headers.get("retry-after-ms")
        self.attempts.append([response.status_code, told and int(told)])

    def sleep(self, seconds, really=time.sleep):
        self.slept.append(seconds)
        really(min(seconds, SLEEP_MAX_S))


def told(error):
    """What an error says, by the names that the SDKs of OpenAI and Anthropic have for it."""
    return {
        "raised": type(error).__name__,
        "status": error.status_code,
        "type": error.type,
        "body": error.body,
        "headers": dict(error.response.headers),
    }


def serve(sdk, connect, ask, told=told):
    """Carries out orders: `connect` makes a client, `ask` asks once and says what came of it, `told` reads an error."""
    for line in sys.stdin:
        order = json.loads(line)
        wire = Wire()
        time.sleep = wire.sleep  # by this name all SDKs wait for a retry
        http = sdk.DefaultHttpxClient(event_hooks={"response": [lambda response: wire.response(response)]})
        with connect(base_url=order["base"], max_retries=order["retries"], http_client=http) as client:
            reports = []
            for _ in range(order["times"]):
                wire.attempts, wire.slept = [], []
                report = attempt(sdk, client, order, ask, told)
                reports.append(report | {"attempts": wire.attempts, "slept": wire.slept})
        print(json.dumps(reports), flush=True)


def attempt(sdk, client, order, ask, told):
    try:
        report = ask(client, order)
    except sdk.APIStatusError as error:
        report = told(error)
    except Exception as error:  # whatever else an SDK makes of an answer is for the test to judge
        report = {"raised": type(error).__name__, "why": str(error)}
    return report | {"resets": resets(report.get("headers", {}))}


def resets(headers):
    """When Anthropic's limits are whole again, in milliseconds since 1970, as a program reads RFC 3339."""
    names = [name for name in headers if name.startswith("anthropic-ratelimit-") and name.endswith("-reset")]
    instants = {name: datetime.fromisoformat(headers[name].replace("Z", "+00:00")) for name in names}
    return {name: int(instant.timestamp() * 1000) for name, instant in instants.items()}
