"""Labels and help texts of a source's settings, and the consequences of a change."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.forms import SettingsForm
from console.settings.field_lists import source_field_lists
from console.settings.help_texts import help_texts
from console.ui.setting_entries import FieldList
from webhooks.models import SOURCE_SETTINGS


class SourceForm(SettingsForm):
    class Meta:
        labels: ClassVar[dict[str, Any]] = {
            "slug": gettext_lazy("Slug"),
            "is_enabled": gettext_lazy("Enabled"),
            "scheme_settings": gettext_lazy("Verification options"),
            "handshake": gettext_lazy("Handshake"),
            "extra_id_characters": gettext_lazy("Extra characters allowed in ids"),
            "webhook_format": gettext_lazy("Webhook format"),
            "default_mode": gettext_lazy("Response"),
            "mode_is_fixed": gettext_lazy("Ignore the webhook's “respond”"),
            "wait_seconds": gettext_lazy("Response timeout (seconds)"),
            "entity_fields": gettext_lazy("Entity fields in responses"),
            "response_format": gettext_lazy("Response format"),
            "requests_per_minute": gettext_lazy("Rate limit (per minute)"),
            "silence_minutes": gettext_lazy("Silence alarm after (minutes)"),
        }
        help_texts = help_texts(SOURCE_SETTINGS)

    def field_lists(self) -> Mapping[str, FieldList]:
        return source_field_lists()


def source_change_warnings(form: Any) -> Iterator[str]:
    """Yield a sentence for each immediate consequence of a change of a source."""
    source = form.instance
    if "is_enabled" in form.changed_data and not source.is_enabled:
        yield _(
            "All webhooks of the source are refused until it is enabled again. To accept and keep "
            "them, pause the source instead."
        )
    if "slug" in form.changed_data:
        yield _("The endpoint changes: webhooks sent to the old endpoint are refused.")
    if "scheme" in form.changed_data and source.is_polled:
        yield _("The source loses its endpoint: webhooks sent to it are refused.")
    elif "scheme" in form.changed_data and not source.is_signed:
        yield _("Anyone who knows the endpoint will be able to send webhooks.")
    elif "scheme" in form.changed_data and source.scheme == "body-secret":
        yield _("This verification is weak: anyone who reads one webhook will be able to send others.")
    elif "scheme" in form.changed_data:
        yield _("Webhooks that do not use the new verification are refused.")
