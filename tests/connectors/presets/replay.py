"""Recorded exchanges with a system: calls of a connector, the requests that each sends, and the responses to them."""

import dataclasses
import json
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt

from connectors.contracts.errors import ConnectorError
from connectors.contracts.types import WriteContext
from tests.support.http.authentication_servers import make_key
from tests.support.http.servers import Reply, SeenRequest

# Headers that say nothing about the system.
TRANSPORT = {"host", "user-agent", "accept-encoding", "connection", "content-length", "x-request-id"}
# Stands for any value that is not empty: a nonce, a time, a signature.
ANY = "*"
# Stands for a key that is made anew in each run.
NEW_KEY = "{key}"


class Replay:
    """A server that expects requests one after the other, and answers each with its response. What was sent in place of
    an expected request is in `unexpected`, beside the latter. `url`: its own address, `{url}` in a response.
    """

    def __init__(self) -> None:
        self.url = ""
        self.expected: deque[Mapping[str, Any]] = deque()
        self.unexpected: list[tuple[Any, Any]] = []

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request; with 418 if it is not the expected one."""
        sent = describe_request(seen)
        exchange = self.expected.popleft() if self.expected else {"request": None}
        if not matches(exchange["request"], sent):
            self.unexpected.append((exchange["request"], sent))
            return Reply(418)
        return make_reply(json.loads(json.dumps(exchange["response"]).replace("{url}", self.url)))


def describe_request(seen: SeenRequest) -> dict[str, Any]:
    """Return what matters of a request. A form is an object, and so are the claims of a signed token in it."""
    target = urlsplit(seen.target)
    request: dict[str, Any] = {"method": seen.method, "path": target.path}
    if target.query:
        request["query"] = dict(parse_qsl(target.query, keep_blank_values=True))
    request["headers"] = {name: value for name, value in seen.headers.items() if name not in TRANSPORT}
    if seen.headers.get("content-type") == "application/x-www-form-urlencoded":
        form = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
        request["form"] = {name: _read_claims(value) for name, value in form.items()}
    elif seen.body:
        request["body"] = json.loads(seen.body)
    return request


def _read_claims(value: str) -> Any:
    return jwt.decode(value, options={"verify_signature": False}) if value.startswith("eyJ") else value


def matches(expected: Any, sent: Any) -> bool:
    """Return True if a request is the expected one; `*` at the end of an expected text stands for any value."""
    if isinstance(expected, dict) and isinstance(sent, dict):
        return expected.keys() == sent.keys() and all(matches(expected[name], sent[name]) for name in sent)
    if isinstance(expected, str) and expected.endswith(ANY):
        return bool(sent) and str(sent).startswith(expected.removesuffix(ANY))
    return type(expected) is type(sent) and bool(expected == sent)


def make_reply(response: Mapping[str, Any]) -> Reply:
    """Return the reply that a response describes: with a JSON `body`, a `text`, or nothing."""
    raw = None if "body" in response else response.get("text", "").encode()
    return Reply(response["status"], response.get("body"), dict(response.get("headers", {})), raw)


def make_credentials(recorded: Mapping[str, str]) -> dict[str, str]:
    """Return credentials, with a new key where one is needed."""
    return {name: make_key("ES256")[0] if value == NEW_KEY else value for name, value in recorded.items()}


def read_list(connect: Callable[[], Any], step: Mapping[str, Any]) -> list[Any]:
    """Return the entities or records of a list, each page read by another connector from the stored position."""
    items: list[Any] = []
    position: Any = None
    arguments = dict(step["arguments"])
    if "modified_since" in arguments:
        arguments["modified_since"] = datetime.fromisoformat(arguments["modified_since"])
    while True:
        page = getattr(connect(), step["call"])(**arguments, position=position)
        items += page[0]
        if page.next is None:
            return items
        position = json.loads(json.dumps(page.next))


def call_connector(connector: Any, step: Mapping[str, Any]) -> Any:
    """Call a method of a connector. Returns its result, or its error, as JSON."""
    arguments = dict(step["arguments"])
    if "context" in arguments:
        arguments["context"] = WriteContext(**arguments["context"])
    try:
        result = getattr(connector, step["call"])(**arguments)
    except ConnectorError as error:
        return _describe_error(error)
    return _leave_out_versions(json.loads(json.dumps(result, default=_write_value)))


def _describe_error(error: ConnectorError) -> dict[str, Any]:
    described = {
        "error": type(error).__name__,
        "sentence": error.sentence,
        "fields": [dataclasses.asdict(field) for field in error.fields],
        "retry_after": error.retry_after,
        "maybe_applied": error.maybe_applied,
    }
    return {name: value for name, value in described.items() if value or isinstance(value, float)}


def _leave_out_versions(result: Any) -> Any:
    """Leave out versions of systems that have none."""
    if isinstance(result, list):
        return [_leave_out_versions(item) for item in result]
    if isinstance(result, dict) and result.get("version", "") is None:
        del result["version"]
    return result


def _write_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else dataclasses.asdict(value)
