"""Forms of a route's condition: what is tried, and the number of linked entities that leave when it is saved."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.forms import ReasonField, ReasonForm
from console.ui.inline_code import inline_code
from sync.models import ROUTE_SETTINGS

MAX_CONDITION = 2_000


class ConditionForm(forms.Form):
    """The condition that is tried, and why."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        example = {"example": ROUTE_SETTINGS["condition"].example}
        self.fields["condition"].help_text = inline_code(
            _("A JMESPath expression over `entity` that gives true or false. Example: `%(example)s`")
            % example
        )

    condition = forms.CharField(
        label=gettext_lazy("Condition"),
        max_length=MAX_CONDITION,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 90, "spellcheck": "false", "class": "mono"}),
    )
    reason = ReasonField(
        min_length=3,
        max_length=200,
        help_text=gettext_lazy(
            "The audit log keeps the condition and the numbers too. Don't include personal data."
        ),
    )


class LeavingForm(ReasonForm):
    """The reason of a change under which many linked entities leave the scope, and their number."""

    field_order = ("leaving", "reason")
    leaving = forms.CharField(
        label=gettext_lazy("Linked entities that leave the scope"),
        max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    def __init__(self, data: Any, *, number: int) -> None:
        super().__init__(data)
        self._number = number
        self.fields["leaving"].help_text = _("Enter %(number)s to confirm.") % {"number": f"{number:,}"}

    def clean_leaving(self) -> int:
        """Return the number. Digits may be grouped as the page groups them."""
        text = "".join(self.cleaned_data["leaving"].replace(",", "").split())
        if text != str(self._number):
            raise ValidationError(
                _("This is not the number of linked entities that leave: %(number)s.")
                % {"number": f"{self._number:,}"}
            )
        return self._number
