"""The admin site of the hub."""

from functools import partial
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.template.response import TemplateResponse


class ConsoleAdminConfig(AdminConfig):
    """Replaces Django's default admin site by ours."""

    default_site = "integration_hub.console.site.ConsoleSite"


class ConsoleSite(AdminSite):
    """Django's admin under our name."""

    site_header = "Integration Hub"
    site_title = "Integration Hub"
    index_title = "Console"
    site_url = None
    enable_nav_sidebar = True

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Django reads this module before there are models, which recording needs.
        from integration_hub.console.passwords import record_change

        page = partial(super().password_change, request, extra_context)
        return page() if request.user.pk is None else record_change(request, request.user.pk, page)
