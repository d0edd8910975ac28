"""Download a list as a file: the query string of the page, read by the code of the page.

Few downloads run at once: on PostgreSQL each holds a connection until its last byte has left.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextvars import Context, copy_context
from functools import partial
from threading import BoundedSemaphore
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.export.line_formats import FORMATS, LineFormat
from audit.format.canonical_json import JSONValue
from config_schema.codes.reference import from_reference
from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import record_action, request_actor
from exports.list_export import ListExport, StreamStats, stream_rows
from logins.fresh_login import require_fresh_login
from sync.search.event_filter import PERSONAL_PARAMS
from sync.search.time_ranges import InvalidFilter

T = TypeVar("T", bytes, str)


def stream_limit(connections: int) -> int:
    """Return how many downloads a process with this many connections may send at once. The other connections are for
    webhooks.
    """
    return max(1, min(4, connections // 2))


MAX_STREAMS = stream_limit(settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 8))
_stream_slots = BoundedSemaphore(MAX_STREAMS)


def open_stream_slot(chunks: Iterator[T], empty_chunk: T, begin: Callable[[], None]) -> Iterator[T] | None:
    """Call `begin` and return the chunks, or None if the limit of concurrent downloads is reached.

    The slot is released when the returned iterator ends, is closed or is garbage-collected. `empty_chunk` is b"" or "".
    """
    if not _stream_slots.acquire(blocking=False):
        return None
    chunks_in_slot = _release_slot_at_end(chunks, empty_chunk, begin)
    # Started here, because the `finally` of a generator that never started does not run.
    next(chunks_in_slot)
    return chunks_in_slot


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
    """Redirect to the page with the download button and say that the limit is reached."""
    text = _("%(count)d downloads are already running. Try again when one of them has finished.")
    messages.warning(request, text % {"count": MAX_STREAMS})
    return redirect(page)


def exceeds_limit(rows: QuerySet[Any]) -> bool:
    """Return True if these are more rows than one person may have alone. Counts one row more than that."""
    limit: int = settings.EXPORT_LIMIT
    return rows.order_by().values("pk")[: limit + 1].count() > limit


def redirect_beyond_limit(request: HttpRequest, page: str) -> HttpResponse:
    """Redirect to the page with the download button and say how to get so many rows."""
    text = _(
        "Nothing was downloaded: one person may download at most %(limit)s rows. Choose fewer, or request an export, "
        "which a second person approves."
    )
    messages.error(request, text % {"limit": f"{settings.EXPORT_LIMIT:,}"})
    return redirect(page)


_PAGING_PARAMS = ("p", "e", "o", "all")


class DownloadableListAdmin(AdminWithPages):
    """Admin of a list that can be downloaded. `list_export` says which columns and which permission; the list shows
    `download_buttons`.
    """

    list_export: ClassVar[ListExport]

    @admin_page("download/<str:form>", "download")
    def download_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Send the filtered list as a file. Without the permission: 403 and an audit log entry."""
        if form not in FORMATS:
            raise Http404
        details = {"what": self.list_export.name, "format": form, "filters": recordable_filters(request.GET)}
        if not (request.user.has_perm(self.list_export.permission) and self.has_view_permission(request)):
            refuse_download(request, details)
        require_fresh_login(request)
        try:
            queryset = self.filtered_rows(request)
        except InvalidFilter:
            # The page shows everything instead and says so; a file could not say that its filters were ignored.
            return HttpResponseBadRequest(_("These filters cannot be used."), content_type="text/plain")
        if self.list_export.has_values and exceeds_limit(queryset):
            return redirect_beyond_limit(request, f"../?{request.GET.urlencode()}")
        return stream_download(request, self.list_export, queryset, FORMATS[form], details)

    def filtered_rows(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the list at this address, of all its pages. Raises InvalidFilter."""
        raise NotImplementedError


def download_buttons(request: HttpRequest, list_export: ListExport) -> list[dict[str, str]]:
    """Return label and URL of one button for each format; none without the permission."""
    if not request.user.has_perm(list_export.permission):
        return []
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    return [{"label": name.upper(), "url": f"download/{name}{query}"} for name in FORMATS]


def recordable_filters(query: Mapping[str, str]) -> dict[str, str]:
    """Return the filters of a query string without personal values, for the audit log.

    A search term or an entity id may identify a person, and the audit log is never erased.
    """
    # Bounded: anyone can send a long query string, and the entry is stored for years.
    filters = {name: value[:200] for name, value in query.items() if name not in _PAGING_PARAMS}
    return filters | {
        name: "withheld"
        for name in PERSONAL_PARAMS
        if filters.get(name) and not _is_event_reference(filters[name])
    }


def _is_event_reference(text: str) -> bool:
    """Return True if the text is a reference of an event, which identifies no person once the event is erased."""
    try:
        from_reference(text)
    except ValueError:
        return False
    return True


def refuse_download(request: HttpRequest, details: Mapping[str, JSONValue]) -> None:
    """Record the refused download, then raise PermissionDenied."""
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
    """Return the file as a streaming response, or a redirect to the list if too many are being sent.

    Records the download before its first byte leaves, and its end with the hash of the file.
    """
    # The id links the entries for start and end of one download.
    marked = {**details, "download": str(uuid4())}
    # The body is sent after the middleware has reset the audit context of the request.
    request_context = copy_context()
    content = stream_rows(list_export, queryset, file_format, stats := StreamStats(), request_actor(request))
    begin = partial(_commit_entry, request, "download.started", marked)
    pieces = open_stream_slot(_record_end(request, content, stats, marked, request_context), b"", begin)
    if pieces is None:
        return redirect_too_many_streams(request, f"../?{request.GET.urlencode()}")
    response = StreamingHttpResponse(pieces, content_type=file_format.content_type)
    name = f"{list_export.name}-{timezone.now():%Y%m%dT%H%M%SZ}.{file_format.extension}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    # Cells hold text from outside, which no browser may guess to be HTML.
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _record_end(
    request: HttpRequest,
    chunks: Iterator[bytes],
    stats: StreamStats,
    details: Mapping[str, JSONValue],
    request_context: Context,
) -> Iterator[bytes]:
    # A client that goes away closes this generator, so the last assignment never runs.
    action = "download.interrupted"
    try:
        yield from chunks
        action = "download.finished"
    finally:
        request_context.run(_commit_entry, request, action, {**details, **stats.to_audit_details()})


def _commit_entry(request: HttpRequest, action: str, details: Mapping[str, JSONValue]) -> None:
    with transaction.atomic():
        record_action(request, request_actor(request), action, details)
