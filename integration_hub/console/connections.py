"""Connections: the remote systems at both ends."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from integration_hub.console.connection_form import CREDENTIALS, ConnectionForm
from integration_hub.console.json_fields import JSON_AS_TEXT
from integration_hub.console.protection import Passing, at_once, breaker_mark, measured, rate, spared
from integration_hub.console.recording import AuditedAdmin
from integration_hub.console.resuming import try_now
from sync.connectors.presets import PRESETS, preset
from sync.connectors.registry import SIDES
from sync.models import Connection, Side

_FILLED = ("connector", "authentication", "settings")


@admin.register(Connection)
class ConnectionAdmin(AuditedAdmin):
    """How the hub reaches a system, as whom, within what limits."""

    kind = "connection"
    formfield_overrides = JSON_AS_TEXT
    form = ConnectionForm
    add_form_template = "console/connection_add.html"
    change_form_template = "console/connection_form.html"
    list_display = ("name", "condition", "deliveries_at_once", "most_requests", "side", "base_url")
    fieldsets = (
        (None, {"fields": ("name", "slug", "side", "connector", "is_enabled", "base_url")}),
        ("Credentials", {"fields": ("authentication", *CREDENTIALS, "clear_credentials")}),
        ("Settings", {"fields": ("settings", "deadline_seconds", "byte_cap", "relays_sentences")}),
        (
            "Protection",
            {"fields": ("concurrency", "requests_per_second", "breaker_failures", "breaker_seconds")},
        ),
    )

    class Media:
        css: ClassVar = {"all": ["console/evidence.css"]}

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.try_view)
        return [path("<int:pk>/try-now/", page, name="sync_connection_try_now"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        return measured(super().get_queryset(request))

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        may = request.user.has_perm("sync.view_breaker")
        return tuple(each for each in self.list_display if may or each != "condition")

    @admin.display(description="state")
    def condition(self, connection: Any) -> SafeString:
        return breaker_mark(connection, connection.clock)

    @admin.display(description="deliveries at once")
    def deliveries_at_once(self, connection: Any) -> str:
        return at_once(connection)

    @admin.display(description="requests a second")
    def most_requests(self, connection: Connection) -> str:
        return rate(connection)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        stored: Any = kwargs.get("obj")
        if stored is not None and request.user.has_perm("sync.view_breaker"):
            context["protection"] = {
                "state": breaker_mark(stored, stored.clock),
                "at_once": at_once(stored),
                "rate": rate(stored),
                "may_try": spared(stored, stored.clock).passing is Passing.NOTHING
                and self.has_change_permission(request, stored),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def try_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST only: end the pause of the connection's breaker now."""
        connection = get_object_or_404(Connection, pk=pk)
        if not self.has_change_permission(request, connection):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if try_now(request, connection):
            messages.success(
                request, "The pause is over: the next delivery that is due tries the connection."
            )
        else:
            messages.warning(request, "The connection is not paused any more; nothing was done.")
        return redirect("admin:sync_connection_change", pk)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        context = {**(extra_context or {}), "presets": PRESETS.items()}
        return super().add_view(request, form_url, context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """`?preset=<name>` fills in what is known of a system; it is copied, not referred to."""
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        name = initial.pop("preset", "")
        if name not in PRESETS:
            return initial
        chosen = preset(name)
        is_identity = SIDES[chosen["connector"]] == "identity"
        side = Side.IDENTITY if is_identity else Side.COMMERCIAL
        return initial | {each: chosen[each] for each in _FILLED} | {"side": side}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.dropped and not obj.credentials:
            text = "The address changed, so the stored credentials were removed. Type the new ones."
            messages.warning(request, text)
