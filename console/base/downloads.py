"""Downloads of exactly the list on the screen: the same query string, read by the same code.

On PostgreSQL a long answer holds a connection until its last byte has left, so few are sent at once.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextvars import Context, copy_context
from functools import partial
from threading import BoundedSemaphore
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.export.line_formats import FORMATS, LineFormat
from audit.format.canonical_json import JSONValue
from console.base.audit_trail import actor, record
from exports.list_export import ListExport, StreamStats, stream_rows
from sync.search.event_filter import PERSONAL_PARAMS
from sync.search.periods import NoSuchFilter
from webhooks.catalogue.reference import from_reference

T = TypeVar("T", bytes, str)


def most_with(connections: int) -> int:
    """How many a process with so many connections sends at once: the others are for webhooks."""
    return max(1, min(4, connections // 2))


MOST = most_with(settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 8))
_places = BoundedSemaphore(MOST)


def in_place(pieces: Iterator[T], nothing: T, begin: Callable[[], None]) -> Iterator[T] | None:
    """The pieces, once `begin` is done; None where as many are being sent as may be.

    The next one may begin when these have ended, are closed or forgotten. `nothing`: an empty piece.
    """
    if not _places.acquire(blocking=False):
        return None
    held = _until_it_ends(pieces, nothing, begin)
    next(held)  # what has not begun would not notice that it ends
    return held


def _until_it_ends(pieces: Iterator[T], nothing: T, begin: Callable[[], None]) -> Generator[T, None, None]:
    try:
        begin()
        yield nothing
        yield from pieces
    finally:
        _places.release()


def too_many(request: HttpRequest, page: str) -> HttpResponse:
    """Back to the page that has the button."""
    told = _("%(count)d downloads are being sent already. Try again when one of them has ended.")
    messages.warning(request, told % {"count": MOST})
    return redirect(page)


_IGNORED = ("p", "e", "o", "all")


class Downloadable(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list that can be downloaded. `export` says what and to whom; its page shows `download_buttons`."""

    export: ClassVar[ListExport]

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_download"
        view = self.admin_site.admin_view(self.download_view)
        return [path("download/<str:form>", view, name=name), *super().get_urls()]

    def download_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """The filtered list as a file; 403 and an entry on the audit log without the permission."""
        if form not in FORMATS:
            raise Http404
        details = {"what": self.export.name, "format": form, "filters": asked_for(request.GET)}
        if not (request.user.has_perm(self.export.permission) and self.has_view_permission(request)):
            refuse(request, details)
        try:
            queryset = self.listed(request)
        except NoSuchFilter:
            return HttpResponseBadRequest("These filters cannot be used.", content_type="text/plain")
        return stream(request, self.export, queryset, FORMATS[form], details)

    def listed(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows of the list at this address, all pages of it. `NoSuchFilter`."""
        raise NotImplementedError


def download_buttons(request: HttpRequest, export: ListExport) -> list[dict[str, str]]:
    """What the list's page shows: nothing to people without the permission."""
    if not request.user.has_perm(export.permission):
        return []
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    return [{"label": name.upper(), "url": f"download/{name}{query}"} for name in FORMATS]


def asked_for(query: Mapping[str, str]) -> dict[str, str]:
    """The filters of a query string, as the audit log may keep them: what was searched for, and the id of an entity,
    can say who a person is, and nothing is ever erased from that log.
    """
    kept = {name: value[:200] for name, value in query.items() if name not in _IGNORED}
    return kept | {
        name: "withheld" for name in PERSONAL_PARAMS if kept.get(name) and not _is_reference(kept[name])
    }


def _is_reference(text: str) -> bool:
    """Of an event, as we made it: it says nothing of a person once that is erased."""
    try:
        from_reference(text)
    except ValueError:
        return False
    return True


def refuse(request: HttpRequest, details: Mapping[str, JSONValue]) -> None:
    """Record that somebody without the permission asked, then raise PermissionDenied."""
    with transaction.atomic():
        record(request, actor(request), "download.refused", details)
    raise PermissionDenied


def stream(
    request: HttpRequest,
    export: ListExport,
    queryset: QuerySet[Any],
    form: LineFormat,
    details: Mapping[str, JSONValue],
) -> HttpResponseBase:
    """The file. It is on the audit log before its first byte leaves, and again with its hash at the end.

    Where too many are being sent, back to the list.
    """
    marked = {**details, "download": str(uuid4())}
    made_in = copy_context()  # the answer is sent when the middleware is through with the request
    content = stream_rows(export, queryset, form, tally := StreamStats())
    begin = partial(_put_down, request, "download.started", marked)
    pieces = in_place(_recorded(request, content, tally, marked, made_in), b"", begin)
    if pieces is None:
        return too_many(request, f"../?{request.GET.urlencode()}")
    response = StreamingHttpResponse(pieces, content_type=form.content_type)
    name = f"{export.name}-{timezone.now():%Y%m%dT%H%M%SZ}.{form.extension}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _recorded(
    request: HttpRequest,
    pieces: Iterator[bytes],
    tally: StreamStats,
    details: Mapping[str, JSONValue],
    made_in: Context,
) -> Iterator[bytes]:
    action = "download.interrupted"
    try:
        yield from pieces
        action = "download.finished"
    finally:
        made_in.run(_put_down, request, action, {**details, **tally.to_audit_details()})


def _put_down(request: HttpRequest, action: str, details: Mapping[str, JSONValue]) -> None:
    with transaction.atomic():
        record(request, actor(request), action, details)
