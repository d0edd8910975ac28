"""ModelAdmins of rows that are only read: no add, change or delete, own detail pages, bounded counts."""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.messages import warning
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages
from console.base.audit_trail import redirect_to_audit_log
from console.base.damaged_rows import require_readable
from console.base.forms import parse_pk

COUNT_LIMIT = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Paginator that counts at most `COUNT_LIMIT` + 1 rows; that many is shown as "more than 10,000".

    Never an estimate: an estimate of 0 makes Django's ChangeList load the whole table.
    """

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        # Sorting and unused columns are dropped before the bounded count.
        return rows.order_by().values("pk")[: COUNT_LIMIT + 1].count()


class DetailPageMixin(AdminWithPages):
    """Replace Django's change form by another page. `render_detail` makes it; it accepts POST only if
    `allows_post` is set.
    """

    allows_post = False
    # True if `render_detail` copes with a row that has a damaged column.
    shows_damaged_rows = False

    def render_detail(self, request: HttpRequest, row: Any) -> HttpResponse:
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the page of one row. Raises Http404 if there is none, and DamagedValue if it has a damaged column."""
        self.require_permissions(request)
        if not self.allows_post and request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}")
        if not self.shows_damaged_rows:
            require_readable([row])
        return self.render_detail(request, row)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the audit log entries of a row. Raises Http404 for a row without a stream of its own."""
        self.require_permissions(request, "audit.view_entry")
        row = self.get_object(request, unquote(object_id))
        if row is None or not hasattr(row, "stream"):
            raise Http404(f"There is no history of {self.opts.verbose_name} {object_id}")
        return redirect_to_audit_log(request, row.stream)


class ReadOnlyAdmin(DetailPageMixin):
    """Read-only list of a growing table: newest first, bounded count, no sorting. Filters may use `allowed_lookups`.

    `no_rows_text` is shown instead of an empty list.
    """

    no_rows_text: Any = ""
    list_per_page = 50
    # No page of all rows and no count of the unfiltered list: both would read the whole table.
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by = ()
    allowed_lookups: frozenset[str] = frozenset()
    # The page of a row reads these with it, and its address may have the public id, which people quote.
    detail_related: tuple[str, ...] = ()
    parse_public_id: Callable[[str], UUID] | None = None

    @property
    def media(self) -> forms.Media:
        """Load only Django's script for check boxes; a read-only list needs no other."""
        return forms.Media(js=["admin/js/actions.js"], css={"all": ["console/lists.css"]})

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the row of an address, or None: by its public id, or by its primary key, as in links of Django."""
        rows = self.get_queryset(request)
        if self.detail_related:
            rows = rows.select_related(*self.detail_related)
        if self.parse_public_id is not None:
            with suppress(ValueError):
                return rows.filter(uuid=self.parse_public_id(object_id)).first()
        pk = parse_pk(object_id)
        return None if pk is None else rows.filter(pk=pk).first()

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow only the lookups of the filters; any other could scan the whole table."""
        return lookup in self.allowed_lookups

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        # Django redirects with this flag from filters that it cannot use.
        if ERROR_FLAG in request.GET:
            warning(request, _("The filters in this address are invalid. Showing everything."))
        return super().changelist_view(request, extra_context)
