"""Form of a source, and the consequences of a change."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.kinds import AnyTextList
from config_schema.objects import Object
from console.document_forms.fields import DocumentField
from console.document_forms.forms import DocumentForm
from console.settings.help_texts import help_texts
from webhooks.models import SOURCE_SETTINGS
from webhooks.protocol.formats.webhook_format import WebhookFormat
from webhooks.protocol.handshake import HANDSHAKE
from webhooks.protocol.schemes import SCHEMES, NoSettings
from webhooks.responses.response_format import RESPONSE_FORMAT

_HELP_TEXTS = help_texts(SOURCE_SETTINGS)
_ENTITY_FIELDS = AnyTextList()
_ENTITY_FIELDS_LABEL = gettext_lazy("Fields of the person, group or file to send back")
_VERIFICATION_LABEL = gettext_lazy("Verification options")
# Of all schemes.
_VERIFICATION_OPTIONS = frozenset(one.name for scheme in SCHEMES.values() for one in scheme.schema.settings)


def _find_verification_kind(form: forms.BaseForm) -> Object[Any]:
    """Return the kind of the settings of the scheme that the form shows; of no settings if none is chosen."""
    scheme = SCHEMES.get(str(form["scheme"].value())) if "scheme" in form.fields else None
    return NoSettings.kind if scheme is None else scheme.schema


class SourceForm(DocumentForm):
    """Form for a source. Its documents have controls."""

    scheme_settings = DocumentField(
        kind=_find_verification_kind,
        reference="verification",
        label=_VERIFICATION_LABEL,
        help_text=_HELP_TEXTS["scheme_settings"],
    )
    handshake = DocumentField(
        kind=HANDSHAKE,
        renders_again=True,
        reference="source",
        label=gettext_lazy("Handshake"),
        help_text=_HELP_TEXTS["handshake"],
    )
    webhook_format = DocumentField(
        kind=WebhookFormat.kind,
        reference="webhook-format",
        label=gettext_lazy("Webhook format"),
        help_text=_HELP_TEXTS["webhook_format"],
    )
    entity_fields = DocumentField(
        kind=_ENTITY_FIELDS,
        initial=list,
        reference="source",
        label=_ENTITY_FIELDS_LABEL,
        help_text=_HELP_TEXTS["entity_fields"],
    )
    response_format = DocumentField(
        kind=RESPONSE_FORMAT,
        renders_again=True,
        reference="source",
        label=gettext_lazy("Response format"),
        help_text=_HELP_TEXTS["response_format"],
    )

    class Meta:
        labels: ClassVar[dict[str, Any]] = {
            "slug": gettext_lazy("Slug"),
            "is_enabled": gettext_lazy("Enabled"),
            # These two are for people who only read.
            "scheme_settings": _VERIFICATION_LABEL,
            "extra_id_characters": gettext_lazy("Extra characters allowed in ids"),
            "default_mode": gettext_lazy("Response"),
            "mode_is_fixed": gettext_lazy("Ignore the webhook's “respond”"),
            "wait_seconds": gettext_lazy("Response timeout (seconds)"),
            "entity_fields": _ENTITY_FIELDS_LABEL,
            "requests_per_minute": gettext_lazy("Rate limit (per minute)"),
            "silence_minutes": gettext_lazy("Silence alarm after (minutes)"),
        }
        help_texts = _HELP_TEXTS
        widgets: ClassVar[dict[str, Any]] = {
            "scheme": forms.Select(attrs={"data-document-of-choice": "document-scheme_settings"})
        }

    def clean_scheme_settings(self) -> Any:
        """Leave out the options that only other schemes have, after the controls of a new scheme were shown."""
        settings, kind = self.cleaned_data["scheme_settings"], _find_verification_kind(self)
        if "scheme" not in self.changed_data or not isinstance(settings, dict):
            return settings
        own = {one.name for one in kind.settings}
        return {
            name: one for name, one in settings.items() if name in own or name not in _VERIFICATION_OPTIONS
        }

    def clean_handshake(self) -> Any:
        """Return no handshake if none is chosen: the fields of an earlier choice have no controls then."""
        handshake = self.cleaned_data["handshake"]
        is_chosen = not isinstance(handshake, dict) or HANDSHAKE.selector.name in handshake
        return handshake if is_chosen or not self.is_sent_as_form("handshake") else {}


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
