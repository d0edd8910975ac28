"""Choose the columns of the event list. The browser stores the choice in a cookie of the list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy

from console.base.admin_pages import AdminWithPages, admin_page
from console.ui.event_filters import EVENT_FILTERS

_COOKIE = "event_columns"
_LIFE = timedelta(days=365)
# In the order of the list. Status, who, event, reason and age are always shown.
_LABELS: Mapping[str, Any] = {
    "fields": gettext_lazy("Fields"),
    "entity": gettext_lazy("Entity id"),
    "reference": gettext_lazy("Reference"),
    "attempts": gettext_lazy("Attempts"),
    "source": gettext_lazy("Source"),
}
_DEFAULT = ("fields",)


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """A column that a person may show or hide."""

    name: str
    label: Any
    is_shown: bool


def column_choices(request: HttpRequest) -> Sequence[ColumnChoice]:
    """Return the columns that a person may choose, and which are shown in this browser."""
    stored = request.COOKIES.get(_COOKIE)
    shown = _DEFAULT if stored is None else stored.split(".")
    return [ColumnChoice(name, label, name in shown) for name, label in _LABELS.items()]


@admin_page("columns/", "columns", button_on="changelist")
def choose_columns(event_admin: AdminWithPages, request: HttpRequest) -> HttpResponse:
    """Store the ticked columns in the browser, and return to the list with its filters."""
    page = reverse("admin:webhooks_event_changelist")
    # Only known filters, so that nobody is sent to another address.
    query = EVENT_FILTERS.build_query(dict(parse_qsl(request.POST.get("query", "").lstrip("?"))))
    response = redirect(page + query)
    ticked = request.POST.getlist("column")
    response.set_cookie(
        _COOKIE,
        ".".join(name for name in _LABELS if name in ticked),
        max_age=_LIFE,
        path=page,
        httponly=True,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        samesite="Lax",
    )
    return response
