"""The general form of an HMAC over parts of a request: its settings, and the text that it signs.

`body-hmac` and `timestamped-hmac` are presets of it.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from config_schema.declared import Declared, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, ConvertedText, Duration, JsonSchema, Text, WholeNumber
from config_schema.objects import ListOf, Object
from config_schema.rules import AnyOf, Condition, Fits, Requires, Stated
from config_schema.settings import Setting

MAX_PARTS = 16
BODY, TIME, ID, METHOD, URL = "{body}", "{time}", "{id}", "{method}", "{url}"
# The fields of a form, sorted by name, each name followed by its value.
FIELDS = "{fields}"
PLACEHOLDERS = (BODY, TIME, ID, METHOD, URL, FIELDS)
_CONTENTS = (BODY, FIELDS)
# A unit of time: none, but a date and a time with a zone.
RFC_3339 = "rfc3339"
BASE64_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix, no secret


# A token of RFC 9110 without the underscore: servers drop such names, as they cannot tell X_A from X-A. In lower case.
HEADER_NAME = ConvertedText(
    re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]{1,64}"),
    "1 to 64 characters of a header name, no underscore",
    "This must be the name of a header, without an underscore.",
    "header name",
    str.lower,
)
PART_NAME = Text(
    re.compile(r"[A-Za-z0-9_-]{1,32}"),
    "1 to 32 letters, digits, `_` and `-`",
    "This must be 1 to 32 letters, digits, underscores or hyphens.",
)
# As it is sent, still percent-encoded: without the `?` before it and without a fragment.
_QUERY_TEXT = Text(
    re.compile(r"(?!\?)[!-\"$-~]{1,512}"),
    "1 to 512 printable ASCII characters, no space and no `#`",
    "This must be the query of an address as it is sent, without the question mark before it.",
)
PREFIX = Text(
    re.compile(r"[ -~]{0,32}"),
    "at most 32 printable ASCII characters",
    "This must be at most 32 printable characters.",
)


_PART = Text(
    re.compile("|".join((*map(re.escape, PLACEHOLDERS), r"[ !-z|~\t\n]{1,64}"))),
    ", ".join(f"`{name}`" for name in PLACEHOLDERS) + " or a literal",
    f"This must be one of {', '.join(PLACEHOLDERS)}, or 1 to 64 characters without braces.",
)


@dataclass(frozen=True)
class SignedParts(ListOf[str]):
    """The parts of a signed text, in their order: placeholders and literals."""

    def read(self, value: Any, place: SettingPath) -> tuple[str, ...]:
        parts = super().read(value, place)
        self._check_whole(parts, place)
        return parts

    def _check_whole(self, parts: Sequence[str], place: SettingPath) -> None:
        if sum(parts.count(part) for part in _CONTENTS) != 1:
            sentence = (
                f"The signed text must contain {BODY} once: otherwise anyone could change the body. For a form it may "
                f"be {FIELDS} instead."
            )
            raise SettingsInvalid(place, sentence)
        for part in (TIME, ID):
            if parts.count(part) > 1:
                sentence = f"The signed text may contain {part} only once."
                raise SettingsInvalid(place, sentence)
        # The address may end with a slash or not.
        if any(part == URL and following.startswith("/") for part, following in pairwise(parts)):
            sentence = f"The part after {URL} must not begin with a slash."
            raise SettingsInvalid(place, sentence)

    def to_schema(self) -> JsonSchema:
        once = ({"contains": {"const": part}, "minContains": 0, "maxContains": 1} for part in (TIME, ID))
        slash_after_url = [{"const": URL}, {"pattern": "^/"}]
        return {
            **super().to_schema(),
            "allOf": [{"contains": {"enum": list(_CONTENTS)}, "maxContains": 1}, *once],
            "not": {
                "anyOf": [
                    {"prefixItems": [{}] * place + slash_after_url, "minItems": place + 2}
                    for place in range(self.most - 1)
                ]
            },
        }


ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
}
ALGORITHMS = ("sha256", "sha512", "sha1")


def _signs(part: str) -> Condition:
    return Fits("signed", {"contains": {"const": part}}, lambda signed: part in signed)


def _rules_of_value(part: str, header: str, member: str) -> tuple[Requires, Requires]:
    """Return the rules of a value that is signed as `part`, and is in a header or in a named part of it."""
    sentence = f"The signed text contains `{part}` exactly if `{header}` or `{member}` is given."
    is_read = AnyOf(Stated(header), Stated(member))
    return (
        Requires(
            sentence=sentence,
            when=_signs(part),
            then=is_read,
            at=header,
            error=f"This field is required, because {part} is signed.",
        ),
        Requires(
            sentence=sentence,
            when=is_read,
            then=_signs(part),
            at="signed",
            error=f"The signed text must contain {part}: a value that is not signed proves nothing.",
        ),
    )


class HmacRule(Declared):
    """Settings of an HMAC: its calculation and its place in the request. Names of headers are in lower case.

    `signature`, `time` and `id` are the names of parts of a header such as `t=…,v1=…`; None means the whole header.
    """

    header: str = setting(HEADER_NAME, "The header that holds the signature.", example="X-Signature")
    signed: tuple[str, ...] = setting(
        SignedParts(_PART, MAX_PARTS, label="list of texts", noun="texts"),
        "The signed parts, one after the other. `{url}` is the address to which the sender sends: `PUBLIC_URL`, "
        "the path and the query. `{fields}` are the names and values of a form, sorted by name, without "
        "separators: such a signature does not show where a name ends, so use `{body}` if the sender offers it. "
        "Nor does it show where `{url}` ends if `{fields}` follows directly, as with Twilio: set `query`, and "
        "use a secret that no other source has. A form or an empty body is refused if it is directly before or "
        "after `{id}`.",
        default=[BODY],
        example=[ID, ".", TIME, ".", BODY],
    )
    query: str | None = setting(
        _QUERY_TEXT,
        "The query of the address to which the sender sends, without the question mark. A request with another "
        "query is refused. Without this setting, a request with any query is refused if its body is a form or "
        "empty, if `{id}` is directly after `{url}`, or if the query or the id contains the text between the "
        "two: the signed text does not show where the address ends, so anyone who repeats a request could move "
        "the beginning of the form, or of the id, into the query.",
        default=None,
        example="tenant=7",
    )
    algorithm: str = setting(Choice(ALGORITHMS), "The hash of the HMAC.", default="sha256", example="sha512")
    encoding: str = setting(
        Choice(tuple(ENCODINGS)),
        "How the signature is encoded. `base64url` may have padding or not.",
        default="hex",
        example="base64",
    )
    prefix: str = setting(PREFIX, "The text before each signature.", default="", example="sha256=")
    signature: str | None = setting(
        PART_NAME,
        "The name of the part of the header that holds the signature, in a header such as `t=…,v1=…`. It may "
        "occur several times. Without it the whole header is the signature.",
        default=None,
        example="v1",
    )
    separator: str | None = setting(
        Choice((",", ";", " ")),
        "The character between the parts of a header; a comma by default. Without named parts: the character "
        "between several signatures in one header. Spaces around it are ignored.",
        default=None,
        example=";",
    )
    time_header: str | None = setting(
        HEADER_NAME,
        "The header that holds the time of the signature. By default `header`, if `time` names a part.",
        default=None,
        example="X-Request-Timestamp",
    )
    time: str | None = setting(
        PART_NAME, "The name of the part of the header that holds the time.", default=None, example="t"
    )
    unit: str = setting(
        Choice(("seconds", "milliseconds", RFC_3339)),
        "How the time is written: as a whole number of seconds or milliseconds since 1970-01-01 00:00 UTC, or as RFC "
        "3339 with a time zone, as by Zendesk, Box and Twitch.",
        default="seconds",
        example="milliseconds",
    )
    window: timedelta = setting(
        Duration(WholeNumber(1, 3600), timedelta(seconds=1)),
        "The maximum difference between the time and the hub's clock in seconds, in both directions.",
        default=300,
        example=180,
    )
    id_header: str | None = setting(
        HEADER_NAME,
        "The header that holds the sender's id of the event. By default `header`, if `id` names a part. A second "
        "webhook with the same signed id is a duplicate.",
        default=None,
        example="X-Webhook-Id",
    )
    id: str | None = setting(
        PART_NAME, "The name of the part of the header that holds the id.", default=None, example="id"
    )
    secret: str = setting(
        Choice(("text", "base64")),
        f"How the secret is encoded: as plain text, or in base64, optionally after `{BASE64_SECRET_PREFIX}`.",
        default="text",
        example="base64",
    )

    rules = (
        Requires(
            sentence=f"`query` is for a signed text with `{URL}`.",
            when=Stated("query"),
            then=_signs(URL),
            at="query",
            error=f"This field is for a signed text with {URL}.",
        ),
        *_rules_of_value(TIME, "time_header", "time"),
        *_rules_of_value(ID, "id_header", "id"),
    )

    @cached_property
    def header_of_time(self) -> str | None:
        """The header that contains the time; None if no time is signed."""
        return self.time_header or (self.header if self.time else None)

    @cached_property
    def header_of_id(self) -> str | None:
        """The header that contains the id; None if no id is signed."""
        return self.id_header or (self.header if self.id else None)

    @property
    def member_separator(self) -> str:
        """Return the character between the members of a header."""
        return self.separator or ","

    def decode_secret(self, secret: str) -> bytes:
        """Return the HMAC key that a secret encodes; b"", which matches nothing, if it is not the configured base64."""
        return decode_secret(secret, self.secret)

    def join_parts(self, values: Mapping[str, bytes]) -> bytes:
        """Return the signed text. `values` are the bytes of the placeholders."""
        return _join(self.signed, values)

    @property
    def has_ambiguous_url_end(self) -> bool:
        """True if the signed text does not show where the URL ends, whatever the body is."""
        return FIELDS in self.signed or (URL, ID) in pairwise(self.signed)

    def has_ambiguous_id_start(self, part: str, values: Mapping[str, bytes], content: bytes) -> bool:
        """Return True if the signed text does not show where `part` ends and the id after it begins. `content`: the end
        of the part, where the id may begin.
        """
        before = list(self.signed[: self.signed.index(ID)]) if ID in self.signed else []
        separator = b""
        while before and before[-1] not in PLACEHOLDERS:
            separator = before.pop().encode() + separator
        if not before or before[-1] != part:
            return False
        text = content + separator + values[ID]
        return not separator or text.find(separator) != text.rfind(separator)

    @property
    def has_ambiguous_id_end(self) -> bool:
        """True if the signed text does not show where the id ends, unless the body is a JSON object or list."""
        return any((ID, content) in pairwise(self.signed) for content in _CONTENTS)

    def list_texts_after_url(self, values: Mapping[str, bytes]) -> list[bytes]:
        """Return the signed text after each `{url}`."""
        return [
            _join(self.signed[place + 1 :], values) for place, part in enumerate(self.signed) if part == URL
        ]


def _join(parts: Sequence[str], values: Mapping[str, bytes]) -> bytes:
    return b"".join(values[part] if part in PLACEHOLDERS else part.encode() for part in parts)


@dataclass(frozen=True)
class HmacPreset(Object[HmacRule]):
    """Kind of the settings of a scheme that is `hmac` with fixed values for the other settings."""

    def to_json(self, value: HmacRule) -> dict[str, Any]:
        names = [one.name for one in self.settings]
        return dict(item for item in value.to_json().items() if item[0] in names)


def _preset(*settings: Setting[Any], **document: Any) -> HmacPreset:
    """Return the kind of a scheme with these settings of `hmac`. `document`: what they are added to."""
    return HmacPreset(
        settings, lambda values: HmacRule.kind.read({**document, **values.document}, values.place)
    )


def _setting_of_hmac(name: str, **changes: Any) -> Setting[Any]:
    return replace(HmacRule.settings[name], **changes)


BODY_HMAC = _preset(
    _setting_of_hmac("header", example="X-Hub-Signature-256"),
    _setting_of_hmac("encoding", kind=Choice(("hex", "base64")), meaning="How the signature is encoded."),
    _setting_of_hmac(
        "prefix",
        kind=Text(
            re.compile(r"[!-~]{0,32}"),
            "at most 32 printable ASCII characters, no space",
            "This must be at most 32 printable characters, without a space.",
        ),
    ),
    _setting_of_hmac("algorithm"),
)
TIMESTAMPED_HMAC = _preset(
    _setting_of_hmac("header", example="Stripe-Signature"),
    _setting_of_hmac(
        "unit",
        kind=Choice(("seconds", "milliseconds")),
        meaning="The unit of the time: since 1970-01-01 00:00 UTC.",
    ),
    _setting_of_hmac("time", is_optional=False, default="t"),
    _setting_of_hmac(
        "signature",
        is_optional=False,
        default="v1",
        meaning="The name of the part of the header that holds the signature.",
    ),
    signed=[TIME, ".", BODY],
    time="t",
    signature="v1",
)


def join_fields(fields: Mapping[str, str]) -> bytes:
    """Return the fields of a form as they are signed: sorted by name, each name followed by its value."""
    return "".join(f"{name}{value}" for name, value in sorted(fields.items())).encode()


def compute_hmac(key: bytes, content: bytes, algorithm: str) -> bytes:
    """Return the HMAC (RFC 2104) of the content."""
    # Copying a keyed object is cheaper than `hmac.new`, which looks up the algorithm and hashes the key each time.
    mac = _keyed_hmac(key, algorithm).copy()
    mac.update(content)
    return mac.digest()


@lru_cache(maxsize=256)
def _keyed_hmac(key: bytes, algorithm: str) -> hmac.HMAC:
    return hmac.new(key, digestmod=algorithm)


def decode_secret(secret: str, encoding: str) -> bytes:
    """Return the key that a secret encodes, as `text` or as `base64`; b"" if it is not base64."""
    return (
        decode_base64(secret.removeprefix(BASE64_SECRET_PREFIX)) if encoding == "base64" else secret.encode()
    )


def decode_base64(text: str) -> bytes:
    """Return the bytes of a text in base64, padding optional; b"", which matches nothing, if it is not base64."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    # `binascii.Error` is a ValueError; text that is not ASCII raises a plain one.
    except ValueError:
        return b""
