"""Kinds of values in the settings of a connection: paths, JMESPath expressions, headers, certificates. Pure."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from config_schema.errors import SettingPath, SettingsInvalid, format_pointer
from config_schema.expressions.expression_kind import ExpressionKind, read_expression
from config_schema.expressions.jmespath_paths import compile_expression, is_plain_expression
from config_schema.kinds import JsonSchema, Text, TextList, TextMap, ValueKind, anchor_pattern
from connectors.http.egress import Network
from connectors.http.placeholders import find_placeholders
from connectors.http.query_parameters import Query, QueryValue, list_values
from connectors.http.urls import PATH_CHARACTERS, is_plain_path, parse_base_url
from connectors.values.json_responses import JmesPathExpression

ENTITY_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}", re.ASCII)
ENTITY_TYPE_SENTENCE = "This is not the name of an entity type."

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,16384}[\x21-\x7e])?", re.ASCII)
# The hub or the HTTP library sets these headers.
_RESERVED_HEADERS = frozenset(
    {"accept-encoding", "authorization", "connection", "content-length", "cookie", "expect", "host"}
    | {"proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "x-request-id"}
)
MAX_PARAMETERS = 50
MAX_PARAMETER_VALUES = 50
_NON_BLANK = Text()


@dataclass(frozen=True)
class PathTemplate(ValueKind[str]):
    """A path below the base URL that holds exactly the given placeholders."""

    placeholders: frozenset[str] = frozenset()
    label: str = "path"

    @property
    def limits(self) -> str:  # type: ignore[override]
        return f"begins with `/`; contains neither `.` nor `..` nor encoded characters; {self._placeholder_words('`')}"

    def read(self, value: Any, place: SettingPath) -> str:
        path = _NON_BLANK.read(value, place)
        plain = re.sub(r"\{[a-z_]+\}", "x", path)
        if not path.startswith("/") or not is_plain_path(plain):
            sentence = (
                "This must be a path that begins with / and contains neither . nor .. nor encoded characters."
            )
            raise SettingsInvalid(place, sentence)
        if find_placeholders(path) != self.placeholders:
            sentence = f"This path must contain {self._placeholder_words()}, and no other placeholder."
            raise SettingsInvalid(place, sentence)
        return path

    def to_schema(self) -> JsonSchema:
        placeholders = [rf"\{{{name}\}}" for name in sorted(self.placeholders)]
        required = "".join(f"(?=.*{placeholder})" for placeholder in placeholders)
        return {"type": "string", "pattern": f"^{required}{path_pattern(*placeholders)[1:]}"}

    def _placeholder_words(self, quote: str = "") -> str:
        names = [f"{quote}{{{name}}}{quote}" for name in sorted(self.placeholders)]
        return " and ".join(names) or "no placeholder"


def path_pattern(*placeholders: str) -> str:
    """Return a pattern for JSON Schema of paths that `is_plain_path` accepts, which may also hold placeholders of these
    patterns.
    """
    parts = "|".join((f"[{PATH_CHARACTERS}]", *placeholders))
    return rf"^(?=/)(?:/(?!\.{{1,2}}(?:/|$))(?:{parts})+)*/?$"


@dataclass(frozen=True)
class PlainPath(ValueKind[str]):
    """A path without placeholders that begins with a slash."""

    label: str = "path"
    limits: str = "begins with `/`; contains neither `.` nor `..` nor encoded characters"

    def read(self, value: Any, place: SettingPath) -> str:
        path = _NON_BLANK.read(value, place)
        if not path.startswith("/") or not is_plain_path(path):
            raise SettingsInvalid(
                place,
                "This must be a path that begins with / and contains neither . nor .. nor encoded characters.",
            )
        return path

    def to_schema(self) -> JsonSchema:
        return PathTemplate().to_schema()


@dataclass(frozen=True)
class BaseAddress(ValueKind[str]):
    """An address that all requests begin with."""

    label: str = "URL"
    limits: str = "http or https; no user name, query or fragment"

    def read(self, value: Any, place: SettingPath) -> str:
        address = _NON_BLANK.read(value, place)
        try:
            parse_base_url(address)
        except ValueError as error:
            raise SettingsInvalid(place, str(error)) from None
        return address

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "format": "uri", "pattern": r"^[hH][tT][tT][pP][sS]?://[^\s@?#\\]+$"}


@dataclass(frozen=True)
class Expression(ExpressionKind[JmesPathExpression]):
    """A JMESPath expression. Reading compiles it."""

    def read(self, value: Any, place: SettingPath) -> JmesPathExpression:
        find = read_expression(value, place, self.roots)
        return JmesPathExpression(find, format_pointer(place), value, is_plain=is_plain_expression(value))

    def to_json(self, value: JmesPathExpression) -> str:
        return value.text


@dataclass(frozen=True)
class HeaderName(ValueKind[str]):
    """The name of a header that settings may set, or that is `also_allowed` here (lower case). `is_folded`: it is read
    in lower case, as the names of the headers of a response are.
    """

    also_allowed: str = ""
    is_folded: bool = False
    label: str = "header name"
    limits: str = "at most 100 characters; not a header that the hub sets itself"

    def read(self, value: Any, place: SettingPath) -> str:
        name = _NON_BLANK.read(value, place)
        if not is_settable_header(name) and name.lower() != self.also_allowed:
            raise SettingsInvalid(place, "This must be a header name that the hub does not set itself.")
        return name.lower() if self.is_folded else name

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": header_name_pattern(self.also_allowed)}


@dataclass(frozen=True)
class Headers(ValueKind[dict[str, str]]):
    """Headers to send with every request."""

    label: str = "object of texts"
    limits: str = "header names that the hub does not set itself; values in printable ASCII"

    def read(self, value: Any, place: SettingPath) -> dict[str, str]:
        headers = TextMap().read(value, place)
        for name, content in headers.items():
            if not is_settable_header(name) or not is_header_value(content):
                raise SettingsInvalid(place, f"The header “{name[:100]}” cannot be sent.")
        return headers

    def to_schema(self) -> JsonSchema:
        return {
            "type": "object",
            "propertyNames": {"pattern": header_name_pattern()},
            "additionalProperties": {"type": "string", "pattern": anchor_pattern(_HEADER_VALUE.pattern)},
        }


@dataclass(frozen=True)
class QueryParameters(ValueKind[dict[str, QueryValue]]):
    """Query parameters. The value of each is a text, or a list of texts that repeats the parameter.

    Values may contain the placeholders in `placeholders`; None means that the caller checks them. At least one value
    must contain a placeholder in `required`.
    """

    placeholders: frozenset[str] | None = frozenset()
    required: frozenset[str] = frozenset()
    label: str = "object of texts, or lists of texts"

    @property
    def limits(self) -> str:  # type: ignore[override]
        most = f"at most {MAX_PARAMETERS} parameters, each with at most {MAX_PARAMETER_VALUES} values"
        if not self.required:
            return most
        words = self._required_words("`")
        return f"{most}; at least one value contains {words}"

    def read(self, value: Any, place: SettingPath) -> dict[str, QueryValue]:
        if not isinstance(value, Mapping) or not all(_is_parameter(one) for one in value.values()):
            raise SettingsInvalid(place, "This must be an object whose values are texts, or lists of texts.")
        if len(value) > MAX_PARAMETERS:
            raise SettingsInvalid(place, f"This may have at most {MAX_PARAMETERS} parameters.")
        query = {name: one if isinstance(one, str) else tuple(one) for name, one in value.items()}
        if self.placeholders is not None:
            self._check_placeholders(query, place)
        return query

    def to_json(self, value: Query) -> Any:
        return {name: one if isinstance(one, str) else list(one) for name, one in value.items()}

    def _check_placeholders(self, query: Query, place: SettingPath) -> None:
        known, found = self.placeholders or frozenset(), frozenset[str]()
        for text in list_values(query):
            found |= find_placeholders(text)
        if known and not found <= known:
            words = " and ".join(f"{{{name}}}" for name in sorted(known))
            raise SettingsInvalid(place, f"Only the placeholder {words} is allowed here.")
        if self.required and not found & self.required:
            raise SettingsInvalid(place, f"One of these must contain {self._required_words()}.")

    def to_schema(self) -> JsonSchema:
        text: JsonSchema = {"type": "string"}
        if self.placeholders:
            others = rf"\{{(?!(?:{'|'.join(sorted(self.placeholders))})\}})[a-z_]+\}}"
            text["not"] = {"pattern": others}
        listed = {"type": "array", "minItems": 1, "maxItems": MAX_PARAMETER_VALUES, "items": text}
        schema: JsonSchema = {
            "type": "object",
            "maxProperties": MAX_PARAMETERS,
            "additionalProperties": {"anyOf": [text, listed]},
        }
        if self.required:
            one = {"type": "string", "pattern": rf"\{{(?:{'|'.join(sorted(self.required))})\}}"}
            # True if one of the values has it.
            has_one = {"anyOf": [one, {"type": "array", "contains": one}]}
            schema["not"] = {"additionalProperties": {"not": has_one}}
        return schema

    def _required_words(self, quote: str = "") -> str:
        return " or ".join(f"{quote}{{{name}}}{quote}" for name in sorted(self.required))


def _is_parameter(value: Any) -> bool:
    if isinstance(value, str):
        return True
    is_list = isinstance(value, list | tuple) and 1 <= len(value) <= MAX_PARAMETER_VALUES
    return is_list and all(isinstance(one, str) for one in value)


@dataclass(frozen=True)
class Certificates(ValueKind[str]):
    """Certificates in PEM form."""

    label: str = "certificates in PEM"
    limits: str = "ASCII, with line breaks"

    def read(self, value: Any, place: SettingPath) -> str:
        certificates = _NON_BLANK.read(value, place)
        if not _can_load_certificates(certificates):
            sentence = "This must be one or more certificates in PEM form, in ASCII, with their line breaks."
            raise SettingsInvalid(place, sentence)
        return certificates

    def to_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": r"-----BEGIN [A-Z0-9 ]*CERTIFICATE-----\r?\n"}


@dataclass(frozen=True)
class Networks(ValueKind[tuple[Network, ...]]):
    """Networks in CIDR notation."""

    label: str = "list of networks"
    limits: str = "CIDR notation, IPv4 or IPv6"

    def read(self, value: Any, place: SettingPath) -> tuple[Network, ...]:
        try:
            return tuple(ip_network(text) for text in TextList().read(value, place))
        except SettingsInvalid:
            raise
        except ValueError:
            raise SettingsInvalid(place, "Each of these must be a network such as 10.0.0.0/8.") from None

    def to_json(self, value: tuple[Network, ...]) -> list[str]:
        return [str(network) for network in value]

    def to_schema(self) -> JsonSchema:
        return {"type": "array", "items": {"type": "string", "pattern": r"^[0-9A-Fa-f:.]+(?:/[0-9.]+)?$"}}


def compile_setting(text: str) -> JmesPathExpression:
    """Compile an expression that the hub itself writes for a setting. Raises JMESPathError."""
    return JmesPathExpression(compile_expression(text), "", text, is_plain=is_plain_expression(text))


def is_settable_header(name: str) -> bool:
    """Return True if settings may set this header."""
    return bool(_HEADER_NAME.fullmatch(name)) and name.lower() not in _RESERVED_HEADERS


def is_header_value(value: str) -> bool:
    """Return True if a text is a valid header value: printable ASCII, no space at its ends."""
    return bool(_HEADER_VALUE.fullmatch(value))


def header_name_pattern(also_allowed: str = "") -> str:
    """Return a JSON Schema pattern for the names that `is_settable_header` accepts, and one more."""
    # JSON Schema has no flag for case.
    reserved = "|".join(
        "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in name)
        for name in sorted(_RESERVED_HEADERS - {also_allowed})
    )
    return f"^(?!(?:{reserved})$){_HEADER_NAME.pattern}$"


def _can_load_certificates(certificates: str) -> bool:
    """Return True if `ssl` can load the certificates. It raises TypeError for text that is not ASCII."""
    try:
        ssl.create_default_context(cadata=certificates)
    except (ssl.SSLError, TypeError):
        return False
    return True
