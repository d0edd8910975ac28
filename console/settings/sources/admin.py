"""ModelAdmin of sources, the senders of webhooks."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from config_schema.errors import SettingsInvalid
from connectors.address_check import find_blocked_host
from console.base.admin_pages import admin_page, column
from console.requests.source_summary import load_source_requests
from console.settings.checked_addresses import CheckedAddressesAdmin
from console.settings.pause import count_waiting, pause_view, render_activity_pill, resume_view
from console.settings.preset_choice import preset_context
from console.settings.sources.capture_status import load_capture_status
from console.settings.sources.captured_request import captured_request_view, reveal_captured_value_view
from console.settings.sources.captures import capture_view, close_capture_view
from console.settings.sources.format_trial import format_view
from console.settings.sources.forms import SourceForm, source_change_warnings
from console.settings.sources.page import (
    annotate_activity,
    attach_daily_counts,
    load_secret_rows,
    load_source_routes,
)
from console.settings.sources.secrets import end_view, get_changeable_source, may_rotate, rotate_view
from console.settings.sources.source_test import (
    CannotSendTestEvent,
    SentTestEvent,
    has_test_event,
    send_test_event,
)
from console.ui.formatting import render_age
from console.ui.outcome_texts import describe_code, render_pill
from sync.housekeeping.key_sets import KeySetUnavailable, fetch_new_key_set
from webhooks.models import Source
from webhooks.presets.source_presets import SOURCE_PRESETS
from webhooks.secret_rotation import rebind_secrets


@admin.register(Source)
class SourceAdmin(CheckedAddressesAdmin):
    """Manage sources: who may send webhooks, how they are verified and answered."""

    pages = (
        format_view,
        rotate_view,
        end_view,
        capture_view,
        close_capture_view,
        captured_request_view,
        reveal_captured_value_view,
        pause_view,
        resume_view,
    )
    audit_kind = "source"
    address_fields = ("scheme", "scheme_settings")
    no_rows_text = gettext_lazy(
        "No sources yet. A source is a system that sends webhooks to the hub, such as an identity service."
    )
    has_presets = True
    add_form_template = "console/settings/sources/add.html"
    change_form_template = "console/settings/sources/change.html"
    list_display = (
        "name",
        "activity",
        "events_per_day",
        "last_event",
        "bad_signatures_today",
        "verification_scheme",
        "response_mode",
    )
    sortable_by = ()
    ordering = ("name", "pk")
    form = SourceForm
    fieldsets = (
        (gettext_lazy("Source"), {"fields": ("name", "slug", "is_enabled")}),
        (gettext_lazy("Verification"), {"fields": ("scheme", "scheme_settings", "handshake")}),
        (gettext_lazy("Webhook format"), {"fields": ("webhook_format", "extra_id_characters")}),
        (
            gettext_lazy("Response"),
            {"fields": ("default_mode", "mode_is_fixed", "wait_seconds", "entity_fields", "response_format")},
        ),
        (gettext_lazy("Limits"), {"fields": ("requests_per_minute", "silence_minutes")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return annotate_activity(super().get_queryset(request)).select_related("paused_by")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Attach the events of the last 24 hours to each source of this page of the list. One query."""
        changelist = super().get_changelist_instance(request)
        changelist.result_list = attach_daily_counts(changelist.result_list)
        return changelist

    def list_headline(self, rows: Sequence[Any]) -> str:
        unverified = sum(source.is_enabled and source.scheme == "none" for source in rows)
        if unverified:
            text = ngettext(
                "%(count)d source accepts requests that are not verified.",
                "%(count)d sources accept requests that are not verified.",
                unverified,
            )
            return text % {"count": unverified}
        silent = sum(not source.is_enabled or source.paused_at is not None for source in rows)
        text = ngettext(
            "%(count)d source is paused or disabled.", "%(count)d sources are paused or disabled.", silent
        )
        return text % {"count": silent} if silent else _("All sources are verified and enabled.")

    activity = column(Source, gettext_lazy("status"), render_activity_pill)

    @admin.display(description=gettext_lazy("events, 24 h"))
    def events_per_day(self, source: Any) -> SafeString:
        words: SafeString = source.day.with_sparkline
        return words

    @admin.display(description=gettext_lazy("last event"))
    def last_event(self, source: Any) -> str | SafeString:
        at: datetime | None = source.last_event_at
        return render_age(at, absent=_("never"))

    @admin.display(description=gettext_lazy("bad signatures today"))
    def bad_signatures_today(self, source: Any) -> str | SafeString:
        number = f"{source.bad_signatures:,}"
        if not source.bad_signatures:
            return number
        query = f"?result=not-verified&source={source.slug}"
        return format_html(
            '<a href="{}{}">{}</a>', reverse("admin:webhooks_receipt_changelist"), query, number
        )

    @admin.display(description=gettext_lazy("verification"))
    def verification_scheme(self, source: Source) -> str | SafeString:
        return (
            source.get_scheme_display()
            if source.is_signed or source.is_polled
            else render_pill("warn", "!", _("Not verified"))
        )

    response_mode = column(Source, gettext_lazy("response"), lambda source: source.get_default_mode_display())

    def find_blocked_address(self, row: Any) -> SettingsInvalid | None:
        host = urlsplit(row.jwks_url).hostname
        blocked = find_blocked_host(host) if host else None
        return None if blocked is None else SettingsInvalid(("scheme_settings", "jwks_url"), blocked.sentence)

    def change_warnings(self, form: Any) -> list[str]:
        return list(source_change_warnings(form))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        chosen = preset_context(SOURCE_PRESETS, request.GET.get("preset", ""))
        return super().add_view(request, form_url, {**(extra_context or {}), **chosen})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill in the settings of a known sender for `?preset=<name>`, as a copy without a reference to the preset."""
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        preset = SOURCE_PRESETS.get(initial.pop("preset", ""))
        return initial if preset is None else initial | preset.copy_settings()

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        source: Any = kwargs.get("obj")
        if source is not None and source.pk:
            context["endpoint"] = request.build_absolute_uri(reverse("inbox", args=[source.slug]))
            attach_daily_counts([source])
            context["pill"] = render_activity_pill(source)
            context["source_secrets"] = lines = load_secret_rows(source)
            context["source_routes"] = load_source_routes(source)
            context["lacks_secret"] = source.needs_secret and not any(
                secret.is_live and secret.fits for secret in lines
            )
            context["may_rotate"] = may_rotate(self, request, source)
            context["can_be_tested"] = has_test_event(source)
            context["held"] = count_waiting(source)
            context["bad_signatures"] = self.bad_signatures_today(source)
            context["source_requests"] = load_source_requests(request, source)
            context["capture"] = load_capture_status(source, timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        former = Source.objects.get(pk=obj.pk) if change else None
        super().save_model(request, obj, form, change)
        if former is not None and former.scheme != obj.scheme:
            rebind_secrets(former, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if form.instance.needs_secret and not form.instance.live_secrets(timezone.now()):
            text = _(
                "The source has no active secret yet. All its webhooks are refused until you add one "
                "with “Add a secret…”."
            )
            messages.warning(request, text)
        if form.instance.jwks_url and {"scheme", "scheme_settings"} & set(form.changed_data):
            # After the commit: a slow server must not keep the row locked.
            transaction.on_commit(partial(_fetch_keys, request, form.instance.jwks_url))

    @admin_page("<int:pk>/test/", "test", button_on="change")
    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a signed test webhook through the same verification as a received one; it is not delivered. POST
        only.
        """
        source = get_changeable_source(self, request, pk)
        try:
            _show_test_result(request, send_test_event(request, source))
        except CannotSendTestEvent as refusal:
            messages.error(request, str(refusal))
        return redirect("admin:webhooks_source_change", pk)


def _fetch_keys(request: HttpRequest, url: str) -> None:
    try:
        fetch_new_key_set(url)
    except KeySetUnavailable as error:
        text = _(
            "The sender's keys could not be fetched: %(reason)s Webhooks are refused until a worker can fetch them."
        )
        messages.warning(request, text % {"reason": str(error)})


def _show_test_result(request: HttpRequest, sent: SentTestEvent) -> None:
    if not sent.was_accepted:
        words = describe_code(sent.answer.code)
        values = {"why": words.title, "next": words.next_step, "code": sent.answer.code}
        text = _("The test event was not accepted: %(why)s. %(next)s (%(code)s)")
        messages.error(request, text % values)
        return
    text = _("The test event was verified and stored. As intended, it was not delivered.")
    assert sent.event is not None, "it was stored"
    page = reverse("admin:webhooks_event_change", args=[sent.event.pk])
    link = format_html('<a href="{}">{}</a>', page, _("Open it"))
    messages.success(request, format_html("{} {}", text, link))
