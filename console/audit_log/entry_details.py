"""Describe the details of an audit entry in words. The page shows the recorded codes as well."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.erasures.words import ground_text
from console.replays.words import PACE_LABELS
from console.settings.connections.connection_test_words import step_result, step_title
from console.ui.filter_text import describe_filter
from console.ui.formatting import render_time
from console.ui.outcome_texts import describe_code
from exports.models import table_label
from webhooks.models import State

_BREAK = SafeString("<br>")
# Keys of rows and names of people: they mean nothing to a reader.
_HIDDEN_KEYS = frozenset(
    {
        *("alarm", "attempt", "backtest", "decision", "download", "erasure", "pseudonyms", "receipt"),
        *("replay", "request", "secret", "snooze"),
    }
)
_LABELS: Mapping[str, object] = {
    "action": gettext_lazy("What was done there"),
    "base": gettext_lazy("Begun from version"),
    "began": gettext_lazy("Since"),
    "bytes": gettext_lazy("Size in bytes"),
    "cause": gettext_lazy("Begun by"),
    "code": gettext_lazy("Result"),
    "count": gettext_lazy("How many"),
    "covered": gettext_lazy("Other events told with it"),
    "end_in_hours": gettext_lazy("The others end in hours"),
    "ended": gettext_lazy("Ended so far"),
    "event": gettext_lazy("Event"),
    "failed": gettext_lazy("Failed again"),
    "failure": gettext_lazy("What went wrong"),
    "failures": gettext_lazy("Failures in a row"),
    "fields": gettext_lazy("Fields"),
    "filter": gettext_lazy("Which events"),
    "filters": gettext_lazy("Filters"),
    "ground": gettext_lazy("Legal ground"),
    "groups": gettext_lazy("Roles"),
    "is_good": gettext_lazy("Everything worked"),
    "kind": gettext_lazy("About"),
    "limit": gettext_lazy("Limit without approval"),
    "made": gettext_lazy("Made by the hub"),
    "number": gettext_lazy("Number of the attempt"),
    "of": gettext_lazy("Of how many"),
    "others": gettext_lazy("Other secrets"),
    "pause": gettext_lazy("Pauses in a row"),
    "seconds": gettext_lazy("Pause in seconds"),
    "sha256": gettext_lazy("SHA-256"),
    "size": gettext_lazy("Size in bytes"),
    "state": gettext_lazy("Status after it"),
    "status": gettext_lazy("HTTP status of the answer"),
    "table": gettext_lazy("Table to read"),
    "verified_by": gettext_lazy("Signature"),
    "was": gettext_lazy("Status before it"),
}


def plain_name(name: str) -> str:
    """Return the name of a field, or a code, as people write it."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def detail_rows(details: Mapping[str, Any], omitted: Sequence[str]) -> list[tuple[str, str | SafeString]]:
    """Return label and text of each detail, except those that the page shows elsewhere."""
    hidden = {*omitted, *_HIDDEN_KEYS}
    return [
        (_detail_label(name), _detail_text(name, value))
        for name, value in details.items()
        if name not in hidden
    ]


def _detail_label(name: str) -> str:
    return str(_LABELS.get(name) or plain_name(name))


def _detail_text(name: str, value: Any) -> str | SafeString:
    try:
        formatter = _FORMATTERS.get(name)
        return formatter(value) if formatter else _plain_text(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return _plain_text(value)  # an older version recorded this value in another form


def _plain_text(value: Any) -> str | SafeString:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return _join_lines((plain_name(name), _plain_text(item)) for name, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(_plain_text(item)) for item in value) or _("none")
    return "–" if value is None or value == "" else str(value)


def _join_lines(pairs: Any) -> SafeString:
    return format_html_join(_BREAK, "{}: {}", pairs) or SafeString("–")


def _state_text(value: str) -> str:
    return str(State(value).label).capitalize() if value in State.values else plain_name(value)


def _time_text(value: str) -> str | SafeString:
    return render_time(parse_datetime(value), value)


def _signature_text(value: str) -> str:
    scheme, _colon, secret = value.partition(":")
    if not secret:
        return _("none") if scheme == "none" else scheme
    return _("%(scheme)s, with secret %(secret)s") % {"scheme": scheme, "secret": secret}


_FORMATTERS: Mapping[str, Callable[[Any], str | SafeString]] = {
    "began": _time_text,
    "code": lambda value: describe_code(value).title,
    "filter": lambda value: "; ".join(describe_filter(value)) or _("all events"),
    "ground": ground_text,
    "kind": plain_name,
    "number": str,
    "pace": lambda value: str(PACE_LABELS[value]),
    "state": _state_text,
    "status": str,
    "steps": lambda value: _join_lines((step_title(name), step_result(code)) for name, code in value.items()),
    "table": table_label,
    "until": _time_text,
    "up_to": _time_text,
    "verified_by": _signature_text,
    "was": _state_text,
}
