"""Labels and help texts of a source's settings, and the consequences of a change."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        labels: ClassVar[dict[str, Any]] = {
            "slug": gettext_lazy("Name in the address"),
            "is_enabled": gettext_lazy("Switched on"),
            "scheme_settings": gettext_lazy("Settings of the verification"),
            "extra_id_characters": gettext_lazy("More characters in ids"),
            "event_words": gettext_lazy("Its own words for events"),
            "default_mode": gettext_lazy("Answered with"),
            "mode_is_fixed": gettext_lazy("Always answered so"),
            "wait_seconds": gettext_lazy("Waits for the outcome"),
            "entity_fields": gettext_lazy("Fields of the entity that it may see"),
            "requests_per_minute": gettext_lazy("Most requests a minute"),
            "silence_minutes": gettext_lazy("Silent after"),
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "slug": gettext_lazy("The end of the address that the source sends to."),
            "is_enabled": gettext_lazy("Switched off, every webhook of it is refused."),
            "scheme_settings": gettext_lazy('As JSON, for example {"header": "X-Signature"}.'),
            "extra_id_characters": gettext_lazy("Those of : @ | + = that its ids contain."),
            "event_words": gettext_lazy('As JSON, for example {"MODIFIED": "UPDATE"}.'),
            "mode_is_fixed": gettext_lazy("Also where a webhook asks for another answer."),
            "wait_seconds": gettext_lazy("Seconds, 0 to 30; then the source is told that it was accepted."),
            "entity_fields": gettext_lazy('As JSON: ["*"] for all, [] for none.'),
            "requests_per_minute": gettext_lazy(
                "What goes beyond is told when to come back. Empty: no limit."
            ),
            "silence_minutes": gettext_lazy(
                "Minutes without a webhook after which an alarm is raised. Empty: never."
            ),
        }


def source_change_warnings(form: Any) -> Iterator[str]:
    """Yield a sentence for each immediate consequence of a change of a source."""
    source = form.instance
    if "is_enabled" in form.changed_data and not source.is_enabled:
        yield _("Every webhook of it is refused until it is switched on again. A pause would keep them.")
    if "slug" in form.changed_data:
        yield _("Its address changes: what is sent to the old one is refused.")
    if "scheme" in form.changed_data and not source.is_signed:
        yield _("Anybody who knows the address can send here then.")
    elif "scheme" in form.changed_data:
        yield _("What is not signed in the new way is refused.")
