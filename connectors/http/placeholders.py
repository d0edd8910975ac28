"""Placeholders in paths, parameters and headers, and the styles in which their values are quoted. Pure.

A style without quotes of its own protects a value only inside the quotes of its language, and a value in quotes needs
a style: `find_fault` refuses everything else.
"""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

# Without groups, for JSON Schema.
PLACEHOLDER_PATTERN = r"\{[a-z_]+(?::[a-z0-9]+)?\}"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)(?::([a-z0-9]+))?\}")


def quote_filter_value(value: str) -> str:
    """Quote a value for a filter language (SCIM, Trivore): in double quotes, inner quotes escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escape_odata(value: str) -> str:
    return value.replace("'", "''")


def _escape_soql(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    return escaped.replace("\n", "\\n").replace("\r", "\\r")


def _escape_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _encode_base64(value: str) -> str:
    return b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")


def _encode_base64url(value: str) -> str:
    return urlsafe_b64encode(value.encode("utf-8", "surrogatepass")).rstrip(b"=").decode("ascii")


_STYLES: Mapping[str, Callable[[str], str]] = {
    "odata": _escape_odata,
    "soql": _escape_soql,
    "json": _escape_json,
    "base64": _encode_base64,
    "base64url": _encode_base64url,
    "quoted": quote_filter_value,
}
STYLES = tuple(_STYLES)
# The styles that may stand outside quotes (the empty text: without a style) and in each kind of quotes.
_ALLOWED_STYLES: Mapping[str, frozenset[str]] = {
    "": frozenset({"", "base64", "base64url", "quoted"}),
    "'": frozenset({"odata", "soql", "base64", "base64url"}),
    '"': frozenset({"json", "base64", "base64url"}),
}


@lru_cache(maxsize=4096)
def find_placeholders(template: str) -> frozenset[str]:
    """Return the placeholder names of a template."""
    return frozenset(match[1] for match in _PLACEHOLDER.finditer(template))


def replace_placeholders(template: str, replacement: str) -> str:
    """Return a template with each placeholder replaced by the same text."""
    return _PLACEHOLDER.sub(replacement, template)


def other_placeholders(names: Collection[str]) -> str:
    """Return a pattern for JSON Schema that finds a placeholder of another name, or of an unknown style."""
    known = rf"(?:{'|'.join(sorted(names))})(?::(?:{'|'.join(STYLES)}))?\}}"
    return rf"\{{(?!{known})[a-z_]+(?::[a-z0-9]+)?\}}" if names else PLACEHOLDER_PATTERN


def fill_template(
    template: str, values: Mapping[str, str], encode: Callable[[str, str], str] | None = None
) -> str:
    """Replace all placeholders of a template in one pass, so that values are not expanded again.

    `encode` returns the replacement of a placeholder from its name and quoted value.
    """

    def replace(match: re.Match[str]) -> str:
        name, style = match[1], match[2]
        value = _STYLES[style](values[name]) if style else values[name]
        return encode(name, value) if encode else value

    return _PLACEHOLDER.sub(replace, template)


def find_fault(template: str, names: Collection[str], unquoted: Collection[str] = ()) -> str | None:
    """Return a sentence that says why a template is refused; None if it is valid.

    `names`: the placeholders that it may hold. `unquoted`: those whose values contain nothing that ends a quote.
    """
    quote, position = "", 0
    for match in _PLACEHOLDER.finditer(template):
        name, style = match[1], match[2] or ""
        if name not in names:
            listed = ", ".join(f"{{{one}}}" for one in sorted(names))
            return (
                f"Only the placeholders {listed} are allowed here."
                if names
                else "No placeholder is allowed here."
            )
        if style and style not in _STYLES:
            return f"The styles of a placeholder are: {', '.join(STYLES)}."
        quote = _quote_after(template[position : match.start()], quote)
        position = match.end()
        is_plain = not style and name in unquoted
        if style not in _ALLOWED_STYLES[quote] and not is_plain:
            return _name_fault(quote, style)
    return None


def _quote_after(text: str, quote: str) -> str:
    """Return the quote that is open after a text; empty if none is."""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return quote


def _name_fault(quote: str, style: str) -> str:
    if not quote:
        return f"The style “{style}” escapes a value only inside quotes."
    allowed = ", ".join(f"{{value:{one}}}" for one in sorted(_ALLOWED_STYLES[quote]))
    hint = ", or {value:quoted} without the quotes" if quote == '"' else ""
    return f"A placeholder in quotes needs a style, so that its value is escaped: {allowed}{hint}."
