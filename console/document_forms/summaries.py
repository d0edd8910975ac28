"""Sentences that say what a closed card does, made from its values, which may be of any type."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.kinds import ValueKind
from config_schema.objects import Object, VariantObject
from config_schema.settings import Setting
from console.document_forms.control_families import Family, family_of
from console.document_forms.labels import label_name

_MOST_PARTS = 4
_LONGEST_VALUE = 60
_OPERATIONS = {
    "get": gettext_lazy("read"),
    "search": gettext_lazy("search"),
    "create": gettext_lazy("create"),
    "update": gettext_lazy("update"),
    "delete": gettext_lazy("delete"),
    "list": gettext_lazy("list"),
}

_Sentence = Callable[[Mapping[str, Any], Mapping[str, Setting[Any]]], str]


def summarize(kind: ValueKind[Any], value: Any) -> str:
    """Return what an object does, on one line. "" if it is empty."""
    if not isinstance(value, Mapping):
        return _write(value)
    settings = _settings_of(kind, value)
    for names, sentence in _SENTENCES:
        if names <= settings.keys() and (said := sentence(value, settings)):
            return said
    return _describe_values(value, settings)


def _describe_answer(value: Mapping[str, Any], _settings: Mapping[str, Setting[Any]]) -> str:
    return f"{_responses(value)}: {_write(value.get('means'))}"


def _responses(value: Mapping[str, Any]) -> str:
    """Return which responses a rule is about."""
    params = {"statuses": _write(value.get("status")), "condition": _write(value.get("when"))}
    if "status" in value and "when" in value:
        return _("Status %(statuses)s if %(condition)s") % params
    if "when" in value:
        return _("If %(condition)s") % params
    return _("Status %(statuses)s") % params if "status" in value else ""


def _describe_refusal(value: Mapping[str, Any], _settings: Mapping[str, Setting[Any]]) -> str:
    return _responses(value)


def _describe_own_answer(value: Mapping[str, Any], _settings: Mapping[str, Setting[Any]]) -> str:
    outcomes = ", ".join(_write(value[name]) for name in ("states", "codes") if value.get(name))
    status = _("status %(status)s") % {"status": _write(value["status"])} if "status" in value else ""
    return f"{outcomes or _('Any outcome')}: {status or _('standard status')}"


def _describe_items(value: Mapping[str, Any], settings: Mapping[str, Setting[Any]]) -> str:
    where = value.get("where")
    rules = [one for one in (where if isinstance(where, list) else [where]) if isinstance(one, Mapping)]
    params = {
        "value": _write(value.get("value", settings["value"].default)),
        "list": _write(value.get("list")),
        "where": " / ".join(
            ", ".join(f"{name} = {_write(one)}" for name, one in rule.items()) for rule in rules
        ),
    }
    if params["where"]:
        return _("%(value)s in the item of %(list)s with %(where)s") % params
    return _("%(value)s in the items of %(list)s") % params


def _describe_operations(value: Mapping[str, Any], _settings: Mapping[str, Setting[Any]]) -> str:
    operations = value.get("operations")
    found = operations if isinstance(operations, Mapping) else {}
    verbs = ", ".join(str(_OPERATIONS[name]) for name in found if name in _OPERATIONS)
    paths = [
        one["path"] for one in found.values() if isinstance(one, Mapping) and isinstance(one.get("path"), str)
    ]
    path = min(paths, key=len, default="")
    return ": ".join(filter(None, (path, verbs)))


def _describe_request(value: Mapping[str, Any], settings: Mapping[str, Setting[Any]]) -> str:
    """Return the method and the path of a request, and how it pages or what it sends."""
    if family_of(settings["path"].kind) is Family.EXPRESSION or not isinstance(value.get("path"), str):
        return ""
    usual = settings["method"].default if "method" in settings else "GET"
    parts = [f"{_write(value.get('method', usual or ''))} {_write(value['path'])}".strip()]
    listed = value.get("list")
    if isinstance(listed, Mapping) and "list" in settings:
        parts.append(_("listed by %(request)s") % {"request": _write(listed.get("path", value["path"]))})
    if "paging" in value and "paging" in settings:
        parts.append(_("pages by %(paging)s") % {"paging": _write(value["paging"])})
    if "style" in value and "style" in settings:
        parts.append(_("sends %(style)s") % {"style": _write(value["style"])})
    if isinstance(value.get("fields"), list) and "fields" in settings:
        parts.append(_("by %(fields)s") % {"fields": _write(value["fields"])})
    return ", ".join(parts)


def _describe_values(value: Mapping[str, Any], settings: Mapping[str, Setting[Any]]) -> str:
    """Return the labels and values of an object that is nothing special."""
    names = [*(name for name in settings if name in value), *(name for name in value if name not in settings)]
    parts = [
        _describe_value(name, value[name], settings)
        for name in names
        if value[name] not in (None, False, "", [], {}) or name not in settings
    ]
    return "; ".join(parts[:_MOST_PARTS])


def _describe_value(name: str, value: Any, settings: Mapping[str, Setting[Any]]) -> str:
    if name not in settings:
        return f"{name} = {_write(value)}"
    if value is True:
        return label_name(name)
    return f"{label_name(name)}: {_write(value)}"


# The first whose settings an object has says what it does.
_SENTENCES: tuple[tuple[frozenset[str], _Sentence], ...] = (
    (frozenset({"status", "means"}), _describe_answer),
    (frozenset({"states", "codes"}), _describe_own_answer),
    (frozenset({"list", "where", "value"}), _describe_items),
    (frozenset({"operations"}), _describe_operations),
    (frozenset({"path", "query"}), _describe_request),
    (frozenset({"status", "when"}), _describe_refusal),
)


def _settings_of(kind: ValueKind[Any], value: Mapping[str, Any]) -> dict[str, Setting[Any]]:
    settings: tuple[Setting[Any], ...] = ()
    if isinstance(kind, Object):
        settings = kind.settings
    elif isinstance(kind, VariantObject):
        chosen = value.get(kind.selector.name, kind.selector.default)
        is_known = isinstance(chosen, str) and chosen in kind.variants
        settings = kind.settings_of(chosen) if is_known else (kind.selector,)
    return {one.name: one for one in settings}


def _write(value: Any) -> str:
    """Return a value as a short text: lists by their items, objects by their names."""
    if isinstance(value, list | Mapping):
        text = ", ".join(one if isinstance(one, str) else _write(one) for one in value)
    else:
        text = (
            {True: "true", False: "false", None: "null"}[value]
            if isinstance(value, bool | None)
            else str(value)
        )
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
