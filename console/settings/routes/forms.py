"""Labels and help texts of a route's settings, and the consequences of a change."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        labels: ClassVar[dict[str, Any]] = {
            "is_enabled": gettext_lazy("Switched on"),
            "identity": gettext_lazy("Read from"),
            "commercial": gettext_lazy("Written to"),
            "tries": gettext_lazy("Most tries"),
            "gives_up_after_hours": gettext_lazy("Gives up after"),
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "is_enabled": gettext_lazy("Switched off, new events do not go this way."),
            "tries": gettext_lazy("Then a delivery has failed for good."),
            "gives_up_after_hours": gettext_lazy("Hours; what is older is not tried again."),
        }


def route_change_warnings(form: Any) -> Iterator[str]:
    """Yield a sentence for each immediate consequence of a change of a route."""
    if "is_enabled" in form.changed_data and not form.instance.is_enabled:
        yield _("New events do not go this way until it is switched on again. A pause would keep them.")
