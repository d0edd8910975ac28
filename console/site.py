"""The admin site of the hub."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib import import_module
from math import ceil
from typing import Any, TypeVar, cast

from django.apps import AppConfig
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template import loader
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from logins.fresh_login import FreshLoginNeeded

_View = TypeVar("_View", bound=Callable[..., Any])


class ConsoleAdminConfig(SimpleAdminConfig):
    """Replaces Django's default admin site by `ConsoleSite`.

    The pages are loaded with the URLs of the hub, not in every process: a job serves none of them.
    """

    default_site = "console.site.ConsoleSite"

    def ready(self) -> None:
        """Register Django's checks of the admin, for which the pages are loaded."""
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(app_configs: Sequence[AppConfig] | None, **options: Any) -> Sequence[checks.CheckMessage]:
    import_module(settings.ROOT_URLCONF)
    return check_admin_app(app_configs, **options)


class ConsoleSite(AdminSite):
    """Django's admin site, with the overview, preferences, help, the reference and the pages of entities added."""

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
        from console.entities.compare_now import compare_view
        from console.entities.find import find_view
        from console.entities.make_equal import equal_view
        from console.entities.record_link import record_link_view
        from console.entities.views import entity_view
        from console.pairs.created import created_view
        from console.pairs.review import review_view
        from console.pairs.views import choose_view, details_view, discard_view, pair_view, pairs_view
        from console.people.preferences import preferences_view
        from console.reference.views import help_view, index_view, page_view, presets_view, schema_view

        return [
            path("reference/", self.admin_view(index_view), name="reference"),
            path("reference/presets/", self.admin_view(presets_view), name="reference_presets"),
            path("reference/<slug:page>/", self.admin_view(page_view), name="reference_page"),
            path(
                "reference/schemas/<slug:schema>.json", self.admin_view(schema_view), name="reference_schema"
            ),
            path("help/", self.admin_view(help_view), name="help"),
            path("preferences/", self.admin_view(preferences_view), name="preferences"),
            path("connect/", self.admin_view(pairs_view), name="pairs"),
            path("connect/<uuid:pair>/", self.admin_view(pair_view), name="pair"),
            path("connect/<uuid:pair>/choose/<slug:part>/", self.admin_view(choose_view), name="pair_choose"),
            path("connect/<uuid:pair>/details/", self.admin_view(details_view), name="pair_details"),
            path("connect/<uuid:pair>/review/", self.admin_view(review_view), name="pair_review"),
            path("connect/<uuid:pair>/created/", self.admin_view(created_view), name="pair_created"),
            path("connect/<uuid:pair>/discard/", self.admin_view(discard_view), name="pair_discard"),
            path("find/", self.admin_view(find_view), name="find"),
            path("webhooks/entity/", self.admin_view(entity_view), name="webhooks_entity"),
            path("webhooks/entity/compare/", self.admin_view(compare_view), name="webhooks_entity_compare"),
            path("webhooks/entity/equal/", self.admin_view(equal_view), name="webhooks_entity_equal"),
            path("webhooks/entity/link/", self.admin_view(record_link_view), name="webhooks_entity_link"),
            *super().get_urls(),
        ]

    def admin_view(self, view: _View, cacheable: bool = False) -> _View:
        """Return the view for people who are logged in. Others are sent to the login page, which says that a form
        that they sent was not saved.

        If the view needs a fresh log-in, it is called again after the person has entered the password.
        """
        checked = self._with_fresh_login(super().admin_view(view, cacheable))

        @wraps(checked)
        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            is_sent_logged_out = request.method == "POST" and not self.has_permission(request)
            response = checked(request, *args, **kwargs)
            login = reverse("admin:login", current_app=self.name)
            if is_sent_logged_out and response.headers.get("Location", "").startswith(login):
                messages.warning(
                    request,
                    _("You were logged out, so the form was not saved. Log in, then enter it again."),
                )
            return response

        return cast(_View, page)

    def _with_fresh_login(self, checked: _View) -> _View:
        @wraps(checked)
        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            # Imported here for the same reason.
            from console.people.login_confirmation import ask_for_password, confirm_login

            context = partial(self.each_context, request)
            if self.has_permission(request) and (refusal := confirm_login(request, context)) is not None:
                return refusal
            try:
                return checked(request, *args, **kwargs)
            except FreshLoginNeeded:
                return ask_for_password(request, context())

        return cast(_View, page)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        # Imported here for the same reason.
        from console.overview.page import render_overview

        return render_overview(request, {**self.each_context(request), **(extra_context or {})})

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseRedirect:
        """Redirect to the overview, which has the menu of all pages."""
        return HttpResponseRedirect(reverse("admin:index", current_app=self.name))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the login page and log in.

        If a limit left the password unchecked, the answer is 429 and a page without a form, which costs a third of the
        login page: guesses are sent by the hundred.
        """
        # Imported here for the same reason.
        from console.people.logins import describe_refusal, refusal_of

        response = super().login(request, extra_context)
        if refusal := refusal_of(request):
            context = {
                "language": get_language(),
                "sentence": describe_refusal(refusal),
                "address": request.get_full_path(),
            }
            response = HttpResponse(loader.render_to_string("admin/login_refused.html", context), status=429)
            response["Retry-After"] = str(ceil(refusal.seconds))
        return response

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Imported here for the same reason.
        from django.contrib.auth.views import PasswordChangeView

        from console.people.logins import (
            HAS_TO_CHOOSE,
            OwnPasswordForm,
            check_own_password,
            record_password_change,
        )

        if request.user.pk is None:
            return super().password_change(request, extra_context)
        # Before the transaction that saves the new password: a check takes long.
        error = check_own_password(request) if request.method == "POST" else None
        page = PasswordChangeView.as_view(
            form_class=partial(OwnPasswordForm, old_password_error=error),
            template_name="registration/password_change_form.html",
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={
                **self.each_context(request),
                "has_given_password": HAS_TO_CHOOSE in request.session,
                **(extra_context or {}),
            },
        )
        request.current_app = self.name
        response = record_password_change(request, request.user.pk, partial(page, request))
        # A browser would show the page again to whoever uses it next.
        add_never_cache_headers(response)
        return cast(TemplateResponse, response)
