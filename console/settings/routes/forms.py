"""Labels and help texts of a route's settings, and the consequences of a change."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        labels: ClassVar[dict[str, Any]] = {
            "is_enabled": gettext_lazy("Enabled"),
            "identity": gettext_lazy("Identity connection"),
            "commercial": gettext_lazy("Target connection"),
            "tries": gettext_lazy("Maximum attempts"),
            "gives_up_after_hours": gettext_lazy("Gives up after"),
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "is_enabled": gettext_lazy("When disabled, new events do not use this route."),
            "tries": gettext_lazy("After that, the delivery has failed."),
            "gives_up_after_hours": gettext_lazy("Hours. Older deliveries are not retried."),
        }


def route_change_warnings(form: Any) -> Iterator[str]:
    """Yield a sentence for each immediate consequence of a change of a route."""
    if "is_enabled" in form.changed_data and not form.instance.is_enabled:
        yield _(
            "New events do not use this route until it is enabled again, and are not delivered "
            "later. To keep them, pause the route instead."
        )
