"""Connections: the remote systems at both ends."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest

from integration_hub.console.connection_form import CREDENTIALS, ConnectionForm
from integration_hub.console.json_fields import JSON_AS_TEXT
from integration_hub.console.recording import AuditedAdmin
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
    list_display = ("name", "slug", "side", "base_url", "is_enabled")
    fieldsets = (
        (None, {"fields": ("name", "slug", "side", "connector", "is_enabled", "base_url")}),
        ("Credentials", {"fields": ("authentication", *CREDENTIALS, "clear_credentials")}),
        ("Settings", {"fields": ("settings", "deadline_seconds", "byte_cap", "relays_sentences")}),
        (
            "Protection",
            {"fields": ("concurrency", "requests_per_second", "breaker_failures", "breaker_seconds")},
        ),
    )

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
