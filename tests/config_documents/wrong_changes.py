"""One wrong change of a document: each kind of change as a function of a place, which yields what to put there."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from config_schema.errors import SettingPath
from config_schema.kinds import ValueKind
from config_schema.objects import ListOf, MapOf, Object, VariantObject
from config_schema.settings import Setting

_PLACEHOLDER = re.compile(r"\{[a-z_]+(?::[a-z0-9]+)?\}")
_OTHER_TYPE: Mapping[type, Any] = {str: 7, int: "7", float: "7", bool: "yes", dict: ["x"], list: {"x": "y"}}
_MANY, _LONG = 201, 20_001


class Site(NamedTuple):
    """A value in a document. `kind`: what reads it, None inside of a value that one kind reads as a whole. `settings`:
    those of the object that the value is.
    """

    place: SettingPath
    value: Any
    kind: ValueKind[Any] | None
    settings: tuple[Setting[Any], ...] = ()


Change = Callable[[Site], Iterator[Any]]


def sites(kind: ValueKind[Any] | None, value: Any, place: SettingPath = ()) -> Iterator[Site]:
    """Yield each value in a document, the document itself first."""
    settings = _settings_of(kind, value)
    yield Site(place, value, kind, settings)
    if isinstance(value, dict):
        kinds = {setting.name: setting.kind for setting in settings}
        common = kind.values if isinstance(kind, MapOf) else None
        for name, inner in value.items():
            yield from sites(kinds.get(name, common), inner, (*place, name))
    elif isinstance(value, list):
        common = kind.items if isinstance(kind, ListOf) else None
        for index, inner in enumerate(value):
            yield from sites(common, inner, (*place, index))


def put(document: Any, place: SettingPath, value: Any) -> Any:
    """Return a copy of a document with another value at a place."""
    if not place:
        return value
    copied = document.copy()
    copied[place[0]] = put(document[place[0]], place[1:], value)
    return copied


def _settings_of(kind: ValueKind[Any] | None, value: Any) -> tuple[Setting[Any], ...]:
    if not isinstance(value, dict):
        return ()
    if isinstance(kind, ListOf):  # OneOrMore
        kind = kind.items
    if isinstance(kind, Object):
        return kind.settings
    if isinstance(kind, VariantObject):
        return kind.settings_of(value.get(kind.selector.name, kind.selector.default))
    return ()


def _drop_field(site: Site) -> Iterator[Any]:
    if isinstance(site.value, dict):
        for name in site.value:
            yield {other: inner for other, inner in site.value.items() if other != name}


def _add_unknown_field(site: Site) -> Iterator[Any]:
    if site.settings:
        yield {**site.value, "colour": "red"}


def _add_setting(site: Site) -> Iterator[Any]:
    for setting in site.settings:
        if setting.name not in site.value:
            yield {**site.value, setting.name: setting.example}


def _make_null(site: Site) -> Iterator[Any]:
    yield None


def _change_type(site: Site) -> Iterator[Any]:
    if site.value is not None:
        yield _OTHER_TYPE[type(site.value)]


def _empty_text(site: Site) -> Iterator[Any]:
    if isinstance(site.value, str):
        yield from ("", "  ")


def _choose_unknown(site: Site) -> Iterator[Any]:
    if site.kind and site.kind.choices:
        yield "unknown" if isinstance(site.value, str) else ["unknown"]


def _choose_other(site: Site) -> Iterator[Any]:
    if site.kind and isinstance(site.value, str):
        yield from (choice for choice in site.kind.choices if choice != site.value)
    if isinstance(site.value, bool):
        yield not site.value


def _leave_bounds(site: Site) -> Iterator[Any]:
    value = site.value
    if isinstance(value, str):
        yield "a" * _LONG
    elif isinstance(value, list):
        yield from ([], value * _MANY)
    elif isinstance(value, dict) and isinstance(site.kind, MapOf):
        yield from ({}, {f"x{number}": inner for inner in value.values() for number in range(_MANY)})
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from (-1, 10**9)


def _add_placeholder(site: Site) -> Iterator[Any]:
    if isinstance(site.value, str) and (site.value.startswith("/") or _PLACEHOLDER.search(site.value)):
        yield site.value + "{colour}"


def _drop_placeholder(site: Site) -> Iterator[Any]:
    if isinstance(site.value, str):
        for match in _PLACEHOLDER.finditer(site.value):
            yield site.value[: match.start()] + "x" + site.value[match.end() :]


def _forget_searched_value(site: Site) -> Iterator[Any]:
    if site.place[-1:] == ("search",) and isinstance(site.value, dict):
        yield _without_value(site.value)


def _without_value(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _without_value(inner) for name, inner in part.items()}
    if isinstance(part, list):
        return [_without_value(inner) for inner in part]
    return re.sub(r"\{(?:value|quoted)(?::\w+)?\}|\bvalue\b", "x", part) if isinstance(part, str) else part


def _follow_address(site: Site) -> Iterator[Any]:
    if isinstance(site.value, list) and "{url}" in site.value:
        index = site.value.index("{url}") + 1
        yield [*site.value[:index], "/", *site.value[index:]]


def _break_expression(site: Site) -> Iterator[Any]:
    is_expression = (site.kind and site.kind.label == "JMESPath expression") or site.place[-1:] == (
        "expression",
    )
    if is_expression and isinstance(site.value, str):
        yield from (
            f"{site.value} ||",
            f"{site.value})",
            f".{site.value}",
            f"{site.value}[",
            f"{site.value} ==",
        )
        yield from (f"{site.value}..a", f"nope({site.value})")


def _forbid_header(site: Site) -> Iterator[Any]:
    name = site.place[-1] if site.place else ""
    if name == "headers" and isinstance(site.value, dict):
        yield from ({**site.value, "Host": "x"}, {**site.value, "X-A": "ä"})
    elif str(name).endswith("header") and isinstance(site.value, str):
        yield from ("Host", "X Y")


def _add_unsent_body(site: Site) -> Iterator[Any]:
    settings = {setting.name: setting for setting in site.settings}
    if "body" in settings and "method" in settings:
        body = site.value.get("body") or settings["body"].example
        yield {**site.value, "method": "GET", "body": body}
        if "encoding" in settings:
            yield {**site.value, "encoding": "none", "body": body}


def _break_path(site: Site) -> Iterator[Any]:
    if isinstance(site.value, str) and site.value.startswith("/"):
        yield from (site.value[1:] or "x", f"{site.value}?a=b", f"{site.value}/../x", f"{site.value} x")


CHANGES: Mapping[str, Change] = {
    "a field dropped": _drop_field,
    "an unknown field": _add_unknown_field,
    "another setting": _add_setting,
    "null": _make_null,
    "another type": _change_type,
    "an empty text": _empty_text,
    "an unknown choice": _choose_unknown,
    "another choice": _choose_other,
    "beyond a bound": _leave_bounds,
    "an unknown placeholder": _add_placeholder,
    "a placeholder dropped": _drop_placeholder,
    "a search without its value": _forget_searched_value,
    "{url} followed by /": _follow_address,
    "a broken expression": _break_expression,
    "a forbidden header": _forbid_header,
    "a broken path": _break_path,
    "a body that is not sent": _add_unsent_body,
}
