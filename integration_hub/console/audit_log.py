"""The audit log's pages: to read, to search, to download; never to change."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from audit.models import Entry
from audit.standing import standing
from integration_hub.console.audit_list import BAR, entry_list, listed, unknown_words
from integration_hub.console.audit_page import entry_page
from integration_hub.console.downloads import Downloadable, download_buttons
from integration_hub.console.evidence import EvidenceAdmin
from integration_hub.console.exports import ENTRIES


@admin.register(Entry)
class EntryAdmin(EvidenceAdmin, Downloadable):
    """Who did what, to what, when, why and from where."""

    export = ENTRIES

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.standing_view)
        return [path("standing/", page, name="audit_entry_standing"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        self._check(request)
        if unknown := unknown_words(request.GET):
            raise DisallowedModelAdminLookup(f"{unknown[0][:40]} is no filter of the audit log")
        if told := BAR.retold(request.GET):
            return HttpResponseRedirect(f"{request.path}{told}")
        return self._page(
            request,
            "console/audit_list.html",
            title=_("Audit log"),
            page=entry_list(request),
            download_buttons=download_buttons(request, self.export),
        )

    def listed(self, request: HttpRequest) -> QuerySet[Any]:
        return listed(request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One entry. It is only read: no form of Django's stands behind it."""
        self._check(request)
        entry = self.get_object(request, unquote(object_id))
        if entry is None:
            raise Http404(f"There is no entry {object_id}")
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        page = entry_page(entry, request.user)
        title = f"{page.told.actor} {page.told.deed}"
        return self._page(request, "console/audit_entry.html", title=title, page=page)

    def standing_view(self, request: HttpRequest) -> HttpResponse:
        """How far the log is sealed, told outside and verified."""
        self._check(request)
        return self._page(
            request, "console/audit_standing.html", title=_("Seals of the audit log"), standing=standing()
        )

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **context})
