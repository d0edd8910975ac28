"""Handshakes: a sender checks once that an address belongs to the receiver, and expects its challenge back. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from config_schema.kinds import Choice, Text
from config_schema.objects import Object
from config_schema.settings import SettingValues, defaulted, required
from config_schema.translatable import translatable
from webhooks.protocol.hmac_rule import HEADER_NAME

MAX_CHALLENGE_LENGTH = 1_024
_MAX_QUERY_LENGTH = 8_192
_MAX_PARAMETERS = 50
_CHALLENGE = re.compile(rf"[ -~]{{1,{MAX_CHALLENGE_LENGTH}}}")
_NAME = Text(
    re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~_-]{1,64}"),
    translatable("1 to 64 letters, digits and characters of a header name"),
    translatable("This must be the name of a header or of a query parameter."),
)

_PLACE = required(
    "from", Choice(("header", "query")), "Where the challenge is in the request.", example="header"
)
_PARAMETER = required(
    "name",
    _NAME,
    "The name of the header, or of the query parameter.",
    example="x-okta-verification-challenge",
)
_METHOD = defaulted("method", Choice(("GET", "POST")), "GET", "The method of the request.", example="POST")
_WRITTEN_AS = defaulted(
    "as",
    Choice(("json", "text")),
    "json",
    "How the challenge is sent back: in a JSON object, or as plain text.",
    example="text",
)
_FIELD = defaulted(
    "field",
    Text(
        re.compile(r"[A-Za-z0-9_.-]{1,64}"),
        translatable("1 to 64 letters, digits, `_`, `.` and `-`"),
        translatable("This must be 1 to 64 letters, digits, underscores, full stops or hyphens."),
    ),
    "verification",
    "The name of the field of the JSON object that holds the challenge.",
    example="challenge",
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """Settings of a sender's handshake: its question and the answer.

    `header`: the name of the header in lower case, None for a query parameter `parameter`. `field`: the name of the
    JSON field, None for plain text.
    """

    header: str | None
    parameter: str
    method: str
    field: str | None

    @property
    def media_type(self) -> str:
        """Return the content type of the answer. Never HTML: the challenge may contain any characters."""
        return "text/plain; charset=utf-8" if self.field is None else "application/json"

    def find_challenge(self, method: str, headers: Mapping[str, str], query_string: str) -> str | None:
        """Return the challenge of a request; None if it has none, or one that is longer than 1,024 characters or not
        printable ASCII.
        """
        if method != self.method:
            return None
        text = (
            _read_parameter(query_string, self.parameter)
            if self.header is None
            else headers.get(self.header, "")
        )
        return text if _CHALLENGE.fullmatch(text) else None

    def write_answer(self, challenge: str) -> bytes:
        """Return the body that answers a challenge."""
        return (challenge if self.field is None else json.dumps({self.field: challenge})).encode()


def _build_handshake(values: SettingValues) -> Handshake:
    name, is_header = values[_PARAMETER], values[_PLACE] == "header"
    if is_header:
        HEADER_NAME.read(name, (*values.place, "name"))
    return Handshake(
        name.lower() if is_header else None,
        name,
        values[_METHOD],
        values[_FIELD] if values[_WRITTEN_AS] == "json" else None,
    )


HANDSHAKE = Object((_PLACE, _PARAMETER, _METHOD, _WRITTEN_AS, _FIELD), _build_handshake)
EXAMPLE: Mapping[str, Any] = {"from": "header", "name": "x-okta-verification-challenge"}


def _read_parameter(query_string: str, name: str) -> str:
    """Return the only query parameter of that name, decoded; "" if there is none, several, or the query is too long."""
    if len(query_string) > _MAX_QUERY_LENGTH:
        return ""
    try:
        pairs = parse_qsl(query_string, max_num_fields=_MAX_PARAMETERS, errors="strict")
    except ValueError:
        return ""
    values = [value for pair_name, value in pairs if pair_name == name]
    return values[0] if len(values) == 1 else ""
