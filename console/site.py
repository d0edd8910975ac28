"""The admin site of the hub."""

from functools import partial
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse


class ConsoleAdminConfig(AdminConfig):
    """Replaces Django's default admin site by `ConsoleSite`."""

    default_site = "console.site.ConsoleSite"


class ConsoleSite(AdminSite):
    """Django's admin site, with the overview, the preferences and the pages of entities added."""

    site_header = "Integration Hub"
    site_title = "Integration Hub"
    index_title = "Overview"
    site_url = None
    # The console has its own menu (`console.navigation`).
    enable_nav_sidebar = False

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return no application: the menu is in `console.navigation`. Django would ask for each page which permissions
        the person has on every model.
        """
        return []

    def get_urls(self) -> list[Any]:
        # Django reads this module before there are models, which the pages need.
        from console.entities.views import entity_view
        from console.people.preferences import preferences_view

        return [
            path("preferences/", self.admin_view(preferences_view), name="preferences"),
            path("webhooks/entity/", self.admin_view(entity_view), name="webhooks_entity"),
            *super().get_urls(),
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        # Imported here for the same reason.
        from console.overview.page import render_overview

        return render_overview(request, {**self.each_context(request), **(extra_context or {})})

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseRedirect:
        """Redirect to the overview, which has the menu of all pages."""
        return HttpResponseRedirect(reverse("admin:index", current_app=self.name))

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Django reads this module before there are models, which recording needs.
        from console.people.auth_events import record_password_change

        page = partial(super().password_change, request, extra_context)
        return page() if request.user.pk is None else record_password_change(request, request.user.pk, page)
