"""The fault `echo`: the service repeats the request in its response, as debug pages and gateways do."""

import base64
import html
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import quote

from sandbox.http.messages import JSON, FieldError, HttpError, Request, Response

ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "url": lambda text: quote(text, safe=""),
    "json": lambda text: json.dumps(json.dumps(text)),
    "html": html.escape,
}
"""The encodings in which a request is repeated."""

# Header values have to stay far below the limits of clients.
_MAX_HEADER = 4_000


def describe_request(request: Request) -> str:
    """Return the request line, the headers and the body as one text."""
    query = f"?{request.query_string}" if request.query_string else ""
    lines = [f"{request.method} {request.path}{query}", *[f"{n}: {v}" for n, v in request.headers.items()]]
    return "\n".join([*lines, "", request.body.decode("utf-8", "replace")])


def build_echo_error(request: Request, status: int, before: str, encoding: str) -> HttpError:
    """Return an error that repeats the request in its message, in a field error and in headers. `before`: words
    that precede it, for example as many as bring it to the limit of a client.
    """
    seen = describe_request(request)
    text = ENCODINGS[encoding](seen)
    authorization = request.get_header("Authorization") or request.get_header("X-Api-Key")
    return HttpError(
        status,
        f"{before}{text}",
        (FieldError("email", "echo", f"{before}{text}"),),
        # Header values have no line breaks and only ASCII.
        {"Location": f"/seen?by={quote(seen)[:_MAX_HEADER]}", "ETag": f'"{quote(authorization)}"'},
    )


def add_echo(request: Request, response: Response, encoding: str) -> Response:
    """Return a response whose JSON object has the request in its field `echo`; every other one as it is."""
    if response.content_type != JSON or not response.body.startswith(b"{"):
        return response
    content = json.loads(response.body) | {"echo": ENCODINGS[encoding](describe_request(request))}
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return replace(response, body=body)
