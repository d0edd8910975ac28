"""ModelAdmin of connections, the configured remote systems."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from config_schema.errors import SettingsInvalid
from connectors.address_check import find_blocked_address
from connectors.presets import PRESETS, load_preset
from connectors.registry import CONNECTOR_SIDES
from connectors.settings.authentication import credential_names
from connectors.settings.secret_values import mask_plain_secrets
from console.base.admin_pages import admin_page, column
from console.base.audit_trail import FieldValues, client_address, request_actor
from console.permissions import MAY_TEST
from console.settings.checked_addresses import CheckedAddressesAdmin
from console.settings.connections.catch_ups import load_catch_ups
from console.settings.connections.connection_status import ConnectionStatus, count_waiting, waiting_text
from console.settings.connections.connection_test import run_connection_test
from console.settings.connections.forms import CREDENTIAL_LABELS, CREDENTIALS, ConnectionForm
from console.settings.connections.page import (
    attach_status,
    failure_share_text,
    page_context,
    render_waiting_link,
)
from console.settings.connections.relink import may_relink, relink_view
from console.settings.pause import count_waiting as count_on_hold
from console.settings.pause import may_pause, pause_view, resume_view
from console.settings.preset_choice import preset_context
from console.ui.charts import join_sparkline
from console.ui.formatting import short_duration
from sync.limits.breaker_status import annotate_load
from sync.limits.circuit_breaker import end_pause_now
from sync.mappings.configuration_gaps import connection_gaps
from sync.models import Connection, ConnectionSide, Link
from sync.monitoring.connection_health import ConnectionHealth
from sync.operations.connection_tests import AlreadyTesting, TestResult

_HEALTH_COLUMNS = ("health", "p95_latency", "failure_percentage", "waiting_deliveries")
_PRESET_FIELDS = ("connector", "authentication", "settings")


@admin.register(Connection)
class ConnectionAdmin(CheckedAddressesAdmin):
    """Configure how the hub reaches a system, with which credentials and limits."""

    audit_kind = "connection"
    address_fields = ("base_url", "authentication", "settings")
    no_rows_text = gettext_lazy(
        "No connections yet. The hub needs at least two: the identity service from which it fetches entities, "
        "and the target in which it changes records."
    )
    has_presets = True
    form = ConnectionForm
    add_form_template = "console/settings/connections/add.html"
    change_form_template = "console/settings/connections/change.html"
    list_display = (
        "name",
        "health",
        "p95_latency",
        "failure_percentage",
        "waiting_deliveries",
        "role",
        "base_url_text",
    )
    fieldsets = (
        (None, {"fields": ("name", "slug", "side", "connector", "is_enabled", "base_url")}),
        (gettext_lazy("Credentials"), {"fields": ("authentication", *CREDENTIALS, "clear_credentials")}),
        (
            gettext_lazy("Settings"),
            {"fields": ("settings", "catch_up_minutes", "deadline_seconds", "byte_cap", "relays_sentences")},
        ),
        (
            gettext_lazy("Protection"),
            {"fields": ("concurrency", "requests_per_second", "breaker_failures", "breaker_seconds")},
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Add the field that confirms unencrypted credentials to a form that is shown again: it may be needed. A target
        is not caught up with.
        """
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and obj.side == ConnectionSide.TARGET:
            fieldsets = [_without(fieldset, "catch_up_minutes") for fieldset in fieldsets]
        if request.method != "POST":
            return fieldsets
        return [
            (title, {**options, "fields": (*options["fields"], "unencrypted")})
            if "clear_credentials" in options["fields"]
            else (title, options)
            for title, options in fieldsets
        ]

    def read_only_fieldsets(self, fieldsets: Any) -> Any:
        """Name the stored credentials: the fields for new ones are empty, also if some are stored."""
        shown = [
            (title, {"fields": ("authentication", "stored_credentials")})
            if "authentication" in options["fields"]
            else (title, options)
            for title, options in fieldsets
        ]
        return super().read_only_fieldsets(shown)

    @admin.display(description=gettext_lazy("Credentials"))
    def stored_credentials(self, connection: Connection) -> SafeString | str:
        stored, needed = connection.read_credentials(), credential_names(connection.authentication)
        if stored is None:
            return _("stored, but cannot be decrypted")
        kept, missing = _("%(name)s: stored"), _("%(name)s: missing")
        lines = [
            (kept if name in stored else missing) % {"name": label}
            for name, label in CREDENTIAL_LABELS.items()
            if name in stored or name in needed
        ]
        return format_html_join("", "<div>{}</div>", ((line,) for line in lines)) or _("none needed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        return annotate_load(super().get_queryset(request))

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        may = request.user.has_perm("sync.view_breaker")
        return tuple(column for column in self.list_display if may or column not in _HEALTH_COLUMNS)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Attach the status to each connection of this page of the list: two queries for all."""
        changelist = super().get_changelist_instance(request)
        changelist.result_list = attach_status(changelist.result_list)
        return changelist

    def list_headline(self, rows: Sequence[Any]) -> str:
        if not all(hasattr(connection, "shown") for connection in rows):
            return ""
        troubled = sum(
            connection.paused_at is not None
            or connection.shown.health not in (ConnectionHealth.HEALTHY, ConnectionHealth.IDLE)
            for connection in rows
            if connection.is_enabled
        )
        text = ngettext(
            "%(count)d connection is paused or has failures.",
            "%(count)d connections are paused or have failures.",
            troubled,
        )
        return text % {"count": troubled} if troubled else _("All connections work.")

    @admin.display(description=gettext_lazy("health"))
    def health(self, connection: Any) -> SafeString:
        """Render the health pill, with a sentence unless the connection is healthy or idle."""
        status: ConnectionStatus = connection.shown
        if status.health in (ConnectionHealth.HEALTHY, ConnectionHealth.IDLE):
            return status.health_pill
        return format_html('{} <span class="quiet">{}</span>', status.health_pill, status.sentence)

    @admin.display(description=gettext_lazy("p95"))
    def p95_latency(self, connection: Any) -> SafeString:
        return join_sparkline(short_duration(connection.shown.figures.p95), connection.shown.sparkline)

    @admin.display(description=gettext_lazy("failed recently"))
    def failure_percentage(self, connection: Any) -> str:
        return failure_share_text(connection.shown.figures)

    @admin.display(description=gettext_lazy("role"))
    def role(self, connection: Any) -> str:
        return str(connection.get_side_display())

    @admin.display(description=gettext_lazy("waiting"))
    def waiting_deliveries(self, connection: Any) -> str | SafeString:
        return render_waiting_link(connection)

    base_url_text = column(Connection, gettext_lazy("base URL"), lambda connection: connection.base_url)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        stored: Any = kwargs.get("obj")
        _leave_out_unused_credentials(context["adminform"])
        if stored is not None and request.user.has_perm("sync.view_breaker"):
            may_change = self.has_change_permission(request, stored)
            context["now"] = page_context(request, stored, may_change=may_change)
            context["catch_ups"] = load_catch_ups(stored)
            context |= {
                "stored": stored,
                "may_pause": may_pause(self, request, stored),
                "may_relink": may_relink(request, stored),
                "held": count_on_hold(stored),
                "has_unreadable_credentials": stored.read_credentials() is None,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def stored_values(self, pk: Any) -> FieldValues:
        """Return the stored values for the audit log. Settings that were not checked may contain a secret."""
        values = super().stored_values(pk)
        return {**values, "settings": mask_plain_secrets(values["settings"])}

    def secret_changes(self, form: Any) -> list[str]:
        changes: list[str] = form.secret_changes()
        return changes

    def field_remarks(self, form: Any) -> dict[str, list[str]]:
        return {"settings": connection_gaps(form.instance)}

    def find_blocked_address(self, row: Any) -> SettingsInvalid | None:
        return find_blocked_address(row.connector, row.settings, row.authentication, row.base_url)

    def show_check_result(self, request: HttpRequest, form: Any, *, is_new: bool) -> None:
        super().show_check_result(request, form, is_new=is_new)
        if any(form.data.get(name) for name in CREDENTIALS):
            # Fields of credentials never show what was typed.
            messages.warning(request, _("Enter the credentials again before you save."))

    def change_warnings(self, form: Any) -> list[str]:
        """Warn about routes that lack a setting, links to records of another system, and deliveries that wait for a
        connection that is disabled.
        """
        gaps = [*connection_gaps(form.instance), *_moved_warnings(form)]
        gaps += [
            _("Anyone in the network can read the credentials that are sent to %(host)s.") % {"host": host}
            for host in form.list_unconfirmed_hosts()
        ]
        if form.instance.is_enabled or "is_enabled" not in form.changed_data:
            return gaps
        waits = waiting_text(count_waiting()[form.instance.pk])
        return [
            *gaps,
            _("Currently waiting for this connection: %(waits)s.") % {"waits": waits},
            _(
                "While it is disabled, each attempt fails and uses a retry. Enable it before their retries "
                "run out."
            ),
        ]

    pages = (pause_view, resume_view, relink_view)

    @admin_page("<int:pk>/test/", "test", button_on="change")
    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Test the stored connection. POST only."""
        connection = get_object_or_404(Connection, pk=pk)
        if not (request.user.has_perm(MAY_TEST) and self.has_view_permission(request, connection)):
            raise PermissionDenied
        try:
            result = run_connection_test(request, connection)
        except AlreadyTesting:
            messages.warning(
                request, _("A test of this connection is already running. Try again in a minute.")
            )
        else:
            add_message, text = {
                TestResult.PASSED: (messages.success, _("All steps passed.")),
                TestResult.WARNED: (
                    messages.warning,
                    _("All steps passed, with a warning. See the steps below."),
                ),
                TestResult.UNPROVED: (
                    messages.warning,
                    _("No step failed, but not everything could be tested. See the steps below."),
                ),
                TestResult.FAILED: (messages.error, _("The test failed. See the steps below.")),
            }[result]
            add_message(request, text)
        return redirect(f"{reverse('admin:sync_connection_change', args=[pk])}#test")

    @admin_page("<int:pk>/try-now/", "try_now", button_on="change")
    def end_pause_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let deliveries try a failing system now. POST only."""
        connection: Connection = self.get_changeable(request, pk)
        if end_pause_now(connection, request_actor(request), client_address(request)):
            messages.success(request, _("The next delivery tests the connection now."))
        else:
            messages.warning(request, _("The connection is no longer failing. Nothing was changed."))
        return redirect("admin:sync_connection_change", pk)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        chosen = request.GET.get("preset", "")
        context = {**(extra_context or {}), **preset_context(PRESETS, chosen)}
        return super().add_view(request, form_url, context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill in the settings of a known system for `?preset=<name>`, as a copy without a reference to the preset."""
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        name = initial.pop("preset", "")
        # An address typed by hand may name any preset.
        if name not in PRESETS:
            return initial
        chosen = load_preset(name)
        is_identity = CONNECTOR_SIDES[chosen["connector"]] == "identity"
        side = ConnectionSide.IDENTITY if is_identity else ConnectionSide.TARGET
        return initial | {field: chosen[field] for field in _PRESET_FIELDS} | {"side": side}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        chosen = request.GET.get("preset", "")
        if not change and chosen in PRESETS and PRESETS[chosen].connector == obj.connector:
            obj.preset = chosen
        super().save_model(request, obj, form, change)
        if obj.read_credentials() is None:
            text = _(
                "The stored credentials cannot be decrypted. No request is sent until you enter them again."
            )
            messages.error(request, text)
        elif form.has_dropped_credentials and not obj.credentials:
            text = _(
                "The base URL changed, so the stored credentials were removed. Enter the new credentials."
            )
            messages.warning(request, text)
        elif missing := form.missing_credentials():
            text = _(
                "Missing credentials: %(names)s. All requests to this connection fail until they are stored."
            )
            messages.warning(request, text % {"names": ", ".join(missing)})


def _leave_out_unused_credentials(admin_form: Any) -> None:
    """Leave out the fields of credentials that the authentication does not use. The form of a viewer has none."""
    if not hasattr(admin_form.form, "shown_credentials") or "authentication" not in admin_form.form.fields:
        return
    unused = frozenset(CREDENTIALS) - admin_form.form.shown_credentials()
    admin_form.fieldsets = [
        (title, {**options, "fields": tuple(name for name in options["fields"] if name not in unused)})
        for title, options in admin_form.fieldsets
    ]


def _without(fieldset: Any, name: str) -> Any:
    title, options = fieldset
    return title, {**options, "fields": tuple(field for field in options["fields"] if field != name)}


def _moved_warnings(form: Any) -> list[str]:
    """Return a warning if the base URL of a system changes whose ids are in links of entities to records."""
    if form.instance.pk is None or "base_url" not in form.changed_data:
        return []
    if not Link.objects.filter(Q(identity=form.instance.pk) | Q(target=form.instance.pk)).exists():
        return []
    return [
        _(
            "Entities are linked to records by their ids in this system. Change the base URL only if the new address "
            "leads to the same system, or to a copy with the same ids. In another system, an id may belong to another "
            "person, whose record the hub would then change: create a new connection for it instead."
        )
    ]
