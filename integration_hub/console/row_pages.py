"""Rows with pages of our own, where no form of Django's stands behind them."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse


class RowPages(admin.ModelAdmin):  # type: ignore[type-arg]
    """`show_row` makes the page of one; only where `takes_posts` may something be sent to it."""

    takes_posts = False

    def show_row(self, request: HttpRequest, row: Any) -> HttpResponse:
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of one row, for those who may see it; 404 where there is none."""
        self.require(request)
        if not self.takes_posts and request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}")
        return self.show_row(request, row)

    def require(self, request: HttpRequest, *permissions: str) -> None:
        """`PermissionDenied` for who may not see these rows, or lacks one of these permissions."""
        if not (self.has_view_permission(request) and request.user.has_perms(permissions)):
            raise PermissionDenied

    def may(self, request: HttpRequest) -> dict[str, bool]:
        """What its pages ask about the person."""
        return {}

    def page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        """A page of the console."""
        shared = {**self.admin_site.each_context(request), "media": self.media, "may": self.may(request)}
        return TemplateResponse(request, template, {**shared, **context})
