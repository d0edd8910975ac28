"""The general form of an HMAC over parts of a request: its settings, and the text that it signs.

`body-hmac` and `timestamped-hmac` are presets of it.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.kinds import Choice, JsonSchema, Text, ValueKind, WholeNumber
from config_schema.objects import Object
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable

MAX_PARTS = 16
BODY, TIME, ID, METHOD, URL = "{body}", "{time}", "{id}", "{method}", "{url}"
# The fields of a form, sorted by name, each name followed by its value.
FIELDS = "{fields}"
PLACEHOLDERS = (BODY, TIME, ID, METHOD, URL, FIELDS)
_CONTENTS = (BODY, FIELDS)
_LITERAL = re.compile(r"[ !-z|~\t\n]{1,64}")
# A unit of time: none, but a date and a time with a zone.
RFC_3339 = "rfc3339"
BASE64_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix, no secret

# A token of RFC 9110 without the underscore: servers drop such names, as they cannot tell X_A from X-A.
HEADER_NAME = Text(
    re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]{1,64}"),
    translatable("1 to 64 characters of a header name, no underscore"),
    translatable("This must be the name of a header, without an underscore."),
    translatable("header name"),
)
PART_NAME = Text(
    re.compile(r"[A-Za-z0-9_-]{1,32}"),
    translatable("1 to 32 letters, digits, `_` and `-`"),
    translatable("This must be 1 to 32 letters, digits, underscores or hyphens."),
)
# As it is sent, still percent-encoded: without the `?` before it and without a fragment.
_QUERY_TEXT = Text(
    re.compile(r"(?!\?)[!-\"$-~]{1,512}"),
    translatable("1 to 512 printable ASCII characters, no space and no `#`"),
    translatable("This must be the query of an address as it is sent, without the question mark before it."),
)
PREFIX = Text(
    re.compile(r"[ -~]{0,32}"),
    translatable("at most 32 printable ASCII characters"),
    translatable("This must be at most 32 printable characters."),
)


@dataclass(frozen=True)
class SignedParts(ValueKind[tuple[str, ...]]):
    """The parts of a signed text, in their order: placeholders and literals."""

    label: str = translatable("list of texts")
    limits: str = translatable(
        "1 to %(most)s parts: %(placeholders)s or a literal",
        most=MAX_PARTS,
        placeholders=", ".join(f"`{name}`" for name in PLACEHOLDERS),
    )

    def read(self, value: Any, place: SettingPath) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_PARTS:
            raise SettingsInvalid(
                place, translatable("This must be a list of 1 to %(most)s texts.", most=MAX_PARTS)
            )
        for index, part in enumerate(value):
            if not isinstance(part, str) or not (part in PLACEHOLDERS or _LITERAL.fullmatch(part)):
                sentence = translatable(
                    "This must be one of %(placeholders)s, or 1 to 64 characters without braces.",
                    placeholders=", ".join(PLACEHOLDERS),
                )
                raise SettingsInvalid((*place, index), sentence)
        return tuple(value)

    def to_schema(self) -> JsonSchema:
        items = {"anyOf": [{"enum": list(PLACEHOLDERS)}, {"pattern": f"^{_LITERAL.pattern}$"}]}
        return {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_PARTS,
            "items": {"type": "string", **items},
            "contains": {"enum": list(_CONTENTS)},
        }


@dataclass(frozen=True, slots=True)
class HmacRule:
    """Settings of an HMAC: its calculation and its place in the request. Names of headers are in lower case.

    `signature`, `time` and `id` are the names of parts of a header such as `t=…,v1=…`; None means the whole header.
    `separator` is the character between parts or signatures; None if a header contains one value.
    """

    header: str
    signed: tuple[str, ...] = (BODY,)
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    signature: str | None = None
    separator: str | None = None
    time_header: str | None = None
    time: str | None = None
    unit: str = "seconds"
    window: timedelta = timedelta(seconds=300)
    id_header: str | None = None
    id: str | None = None
    has_base64_secret: bool = False
    query: str = ""

    @property
    def member_separator(self) -> str:
        """Return the character between the members of a header."""
        return self.separator or ","

    def decode_secret(self, secret: str) -> bytes:
        """Return the HMAC key that a secret encodes; b"", which matches nothing, if it is not the configured base64."""
        return (
            decode_base64(secret.removeprefix(BASE64_SECRET_PREFIX))
            if self.has_base64_secret
            else secret.encode()
        )

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


ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
}
ALGORITHMS = ("sha256", "sha512", "sha1")

_HEADER = required("header", HEADER_NAME, "The header that holds the signature.", example="X-Signature")
_SIGNED = defaulted(
    "signed",
    SignedParts(),
    [BODY],
    "The signed parts, one after the other. `{url}` is the address to which the sender sends: `PUBLIC_URL`, "
    "the path and the query. `{fields}` are the names and values of a form, sorted by name, without "
    "separators: such a signature does not show where a name ends, so use `{body}` if the sender offers it. "
    "Nor does it show where `{url}` ends if `{fields}` follows directly, as with Twilio: set `query`, and "
    "use a secret that no other source has. A form or an empty body is refused if it is directly before or "
    "after `{id}`.",
    example=[ID, ".", TIME, ".", BODY],
)
_QUERY = optional(
    "query",
    _QUERY_TEXT,
    "The query of the address to which the sender sends, without the question mark. A request with another "
    "query is refused. Without this setting, a request with any query is refused if its body is a form or "
    "empty, if `{id}` is directly after `{url}`, or if the query or the id contains the text between the "
    "two: the signed text does not show where the address ends, so anyone who repeats a request could move "
    "the beginning of the form, or of the id, into the query.",
    example="tenant=7",
    is_nullable=False,
)
_ALGORITHM = defaulted("algorithm", Choice(ALGORITHMS), "sha256", "The hash of the HMAC.", example="sha512")
_ENCODING = defaulted(
    "encoding",
    Choice(tuple(ENCODINGS)),
    "hex",
    "How the signature is encoded. `base64url` may have padding or not.",
    example="base64",
)
_PREFIX_SETTING = defaulted("prefix", PREFIX, "", "The text before each signature.", example="sha256=")
_SIGNATURE = optional(
    "signature",
    PART_NAME,
    "The name of the part of the header that holds the signature, in a header such as `t=…,v1=…`. It may "
    "occur several times. Without it the whole header is the signature.",
    example="v1",
    is_nullable=False,
)
_SEPARATOR = optional(
    "separator",
    Choice((",", ";", " ")),
    "The character between the parts of a header; a comma by default. Without named parts: the character "
    "between several signatures in one header. Spaces around it are ignored.",
    example=";",
    is_nullable=False,
)
_TIME_HEADER = optional(
    "time_header",
    HEADER_NAME,
    "The header that holds the time of the signature. By default `header`, if `time` names a part.",
    example="X-Request-Timestamp",
    is_nullable=False,
)
_TIME = optional(
    "time",
    PART_NAME,
    "The name of the part of the header that holds the time.",
    example="t",
    is_nullable=False,
)
_UNIT = defaulted(
    "unit",
    Choice(("seconds", "milliseconds", RFC_3339)),
    "seconds",
    "How the time is written: as a whole number of seconds or milliseconds since 1970-01-01 00:00 UTC, or as RFC 3339 "
    "with a time zone, as by Zendesk, Box and Twitch.",
    example="milliseconds",
)
_WINDOW = defaulted(
    "window",
    WholeNumber(1, 3600),
    300,
    "The maximum difference between the time and the hub's clock in seconds, in both directions.",
    example=180,
)
_ID_HEADER = optional(
    "id_header",
    HEADER_NAME,
    "The header that holds the sender's id of the event. By default `header`, if `id` names a part. A second "
    "webhook with the same signed id is a duplicate.",
    example="X-Webhook-Id",
    is_nullable=False,
)
_ID = optional(
    "id",
    PART_NAME,
    "The name of the part of the header that holds the id.",
    example="id",
    is_nullable=False,
)
_SECRET = defaulted(
    "secret",
    Choice(("text", "base64")),
    "text",
    translatable(
        "How the secret is encoded: as plain text, or in base64, optionally after `%(prefix)s`.",
        prefix=BASE64_SECRET_PREFIX,
    ),
    example="base64",
)

SETTINGS = (
    *(_HEADER, _SIGNED, _QUERY, _ALGORITHM, _ENCODING, _PREFIX_SETTING, _SIGNATURE, _SEPARATOR),
    *(_TIME_HEADER, _TIME, _UNIT, _WINDOW, _ID_HEADER, _ID, _SECRET),
)
EXAMPLE: Mapping[str, Any] = {
    "header": "X-Webhook-Signature",
    "signed": [TIME, ".", BODY],
    "encoding": "base64",
    "time_header": "X-Webhook-Timestamp",
}


def build_rule(values: SettingValues) -> HmacRule:
    """Return the rule that the settings mean. Raises SettingsInvalid if they do not fit together."""
    header, signed = values[_HEADER].lower(), values[_SIGNED]
    if sum(signed.count(part) for part in _CONTENTS) != 1:
        values.reject(
            _SIGNED,
            translatable(
                "The signed text must contain %(body)s once: otherwise anyone could change the body. For a form it may "
                "be %(fields)s instead.",
                body=BODY,
                fields=FIELDS,
            ),
        )
    if values[_QUERY] is not None and URL not in signed:
        values.reject(_QUERY, translatable("This field is for a signed text with %(part)s.", part=URL))
    # The address may end with a slash or not.
    if any(part == URL and following.startswith("/") for part, following in pairwise(signed)):
        values.reject(_SIGNED, translatable("The part after %(part)s must not begin with a slash.", part=URL))
    time_header = _find_value_header(values, _TIME_HEADER, _TIME, header)
    id_header = _find_value_header(values, _ID_HEADER, _ID, header)
    for part, place, setting in ((TIME, time_header, _TIME_HEADER), (ID, id_header, _ID_HEADER)):
        if signed.count(part) > 1:
            values.reject(_SIGNED, translatable("The signed text may contain %(part)s only once.", part=part))
        if part in signed and place is None:
            values.reject(
                setting, translatable("This field is required, because %(part)s is signed.", part=part)
            )
        if part not in signed and place is not None:
            values.reject(
                _SIGNED,
                translatable(
                    "The signed text must contain %(part)s: a value that is not signed proves nothing.",
                    part=part,
                ),
            )
    return HmacRule(
        header,
        signed,
        values[_ALGORITHM],
        values[_ENCODING],
        values[_PREFIX_SETTING],
        values[_SIGNATURE],
        values[_SEPARATOR],
        time_header,
        values[_TIME],
        values[_UNIT],
        timedelta(seconds=values[_WINDOW]),
        id_header,
        values[_ID],
        values[_SECRET] == "base64",
        values[_QUERY] or "",
    )


def _find_value_header(
    values: SettingValues, header_setting: Any, member_setting: Any, signature_header: str
) -> str | None:
    """Return the name of the header that contains a value; None if the settings name none."""
    header: str | None = values[header_setting]
    if header is not None:
        return header.lower()
    return None if values[member_setting] is None else signature_header


HMAC = Object(SETTINGS, build_rule)


def body_hmac_rule(options: Mapping[str, str]) -> HmacRule:
    """Return the rule of the preset `body-hmac`."""
    return HmacRule(
        options["header"].lower(),
        algorithm=options["algorithm"],
        encoding=options["encoding"],
        prefix=options["prefix"],
    )


def timestamped_hmac_rule(options: Mapping[str, str]) -> HmacRule:
    """Return the rule of the preset `timestamped-hmac`."""
    header = options["header"].lower()
    return HmacRule(
        header,
        (TIME, ".", BODY),
        signature=options["signature"],
        time_header=header,
        time=options["time"],
        unit=options["unit"],
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


def decode_base64(text: str) -> bytes:
    """Return the bytes of a text in base64, padding optional; b"", which matches nothing, if it is not base64."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    # `binascii.Error` is a ValueError; text that is not ASCII raises a plain one.
    except ValueError:
        return b""
