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
from console.base.audit_trail import record_action, request_actor
from exports.list_export import ListExport, StreamStats, stream_rows
from sync.search.event_filter import PERSONAL_PARAMS
from sync.search.periods import NoSuchFilter
from webhooks.catalogue.reference import from_reference

T = TypeVar("T", bytes, str)


def stream_limit(connections: int) -> int:
    """How many a process with so many connections sends at once: the others are for webhooks."""
    return max(1, min(4, connections // 2))


MAX_STREAMS = stream_limit(settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 8))
_stream_slots = BoundedSemaphore(MAX_STREAMS)


def open_stream_slot(chunks: Iterator[T], empty_chunk: T, begin: Callable[[], None]) -> Iterator[T] | None:
    """The pieces, once `begin` is done; None where as many are being sent as may be.

    The next one may begin when these have ended, are closed or forgotten. `nothing`: an empty piece.
    """
    if not _stream_slots.acquire(blocking=False):
        return None
    held = _release_slot_at_end(chunks, empty_chunk, begin)
    next(held)  # what has not begun would not notice that it ends
    return held


def _release_slot_at_end(
    chunks: Iterator[T], empty_chunk: T, begin: Callable[[], None]
) -> Generator[T, None, None]:
    try:
        begin()
        yield empty_chunk
        yield from chunks
    finally:
        _stream_slots.release()


def redirect_too_many_streams(request: HttpRequest, page: str) -> HttpResponse:
    """Back to the page that has the button."""
    told = _("%(count)d downloads are being sent already. Try again when one of them has ended.")
    messages.warning(request, told % {"count": MAX_STREAMS})
    return redirect(page)


_PAGING_PARAMS = ("p", "e", "o", "all")


class DownloadableListAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list that can be downloaded. `list_export` says what and to whom; its page shows `download_buttons`."""

    list_export: ClassVar[ListExport]

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_download"
        view = self.admin_site.admin_view(self.download_view)
        return [path("download/<str:form>", view, name=name), *super().get_urls()]

    def download_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """The filtered list as a file; 403 and an entry on the audit log without the permission."""
        if form not in FORMATS:
            raise Http404
        details = {"what": self.list_export.name, "format": form, "filters": recordable_filters(request.GET)}
        if not (request.user.has_perm(self.list_export.permission) and self.has_view_permission(request)):
            refuse_download(request, details)
        try:
            queryset = self.filtered_rows(request)
        except NoSuchFilter:
            return HttpResponseBadRequest("These filters cannot be used.", content_type="text/plain")
        return stream_download(request, self.list_export, queryset, FORMATS[form], details)

    def filtered_rows(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows of the list at this address, all pages of it. `NoSuchFilter`."""
        raise NotImplementedError


def download_buttons(request: HttpRequest, list_export: ListExport) -> list[dict[str, str]]:
    """What the list's page shows: nothing to people without the permission."""
    if not request.user.has_perm(list_export.permission):
        return []
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    return [{"label": name.upper(), "url": f"download/{name}{query}"} for name in FORMATS]


def recordable_filters(query: Mapping[str, str]) -> dict[str, str]:
    """The filters of a query string, as the audit log may keep them: what was searched for, and the id of an entity,
    can say who a person is, and nothing is ever erased from that log.
    """
    kept = {name: value[:200] for name, value in query.items() if name not in _PAGING_PARAMS}
    return kept | {
        name: "withheld" for name in PERSONAL_PARAMS if kept.get(name) and not _is_event_reference(kept[name])
    }


def _is_event_reference(text: str) -> bool:
    """Of an event, as we made it: it says nothing of a person once that is erased."""
    try:
        from_reference(text)
    except ValueError:
        return False
    return True


def refuse_download(request: HttpRequest, details: Mapping[str, JSONValue]) -> None:
    """Record that somebody without the permission asked, then raise PermissionDenied."""
    with transaction.atomic():
        record_action(request, request_actor(request), "download.refused", details)
    raise PermissionDenied


def stream_download(
    request: HttpRequest,
    list_export: ListExport,
    queryset: QuerySet[Any],
    file_format: LineFormat,
    details: Mapping[str, JSONValue],
) -> HttpResponseBase:
    """The file. It is on the audit log before its first byte leaves, and again with its hash at the end.

    Where too many are being sent, back to the list.
    """
    marked = {**details, "download": str(uuid4())}
    made_in = copy_context()  # the answer is sent when the middleware is through with the request
    content = stream_rows(list_export, queryset, file_format, tally := StreamStats())
    begin = partial(_commit_entry, request, "download.started", marked)
    pieces = open_stream_slot(_record_end(request, content, tally, marked, made_in), b"", begin)
    if pieces is None:
        return redirect_too_many_streams(request, f"../?{request.GET.urlencode()}")
    response = StreamingHttpResponse(pieces, content_type=file_format.content_type)
    name = f"{list_export.name}-{timezone.now():%Y%m%dT%H%M%SZ}.{file_format.extension}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _record_end(
    request: HttpRequest,
    chunks: Iterator[bytes],
    tally: StreamStats,
    details: Mapping[str, JSONValue],
    request_context: Context,
) -> Iterator[bytes]:
    action = "download.interrupted"
    try:
        yield from chunks
        action = "download.finished"
    finally:
        request_context.run(_commit_entry, request, action, {**details, **tally.to_audit_details()})


def _commit_entry(request: HttpRequest, action: str, details: Mapping[str, JSONValue]) -> None:
    with transaction.atomic():
        record_action(request, request_actor(request), action, details)
