"""Forms of a failure group."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _

from console.base.forms import ReasonField
from sync.models import FailureGroup, FailureGroupState

MAX_OWNERS = 200
IGNORE_PERIODS = {
    "1": _("for a day"),
    "7": _("for a week"),
    "30": _("for 30 days"),
    "": _("until someone reopens it"),
}


class FailureDecisionForm(forms.Form):
    """The new state of a group, and the reason."""

    decision = forms.ChoiceField(choices=FailureGroupState.choices)
    days = forms.ChoiceField(label=_("Ignore for"), choices=list(IGNORE_PERIODS.items()), required=False)
    reason = ReasonField(
        label=_("Reason"),
        required=False,
        help_text=_("Stored with your name. Not required to assign the group to yourself."),
    )

    def clean(self) -> dict[str, Any]:
        """Require a reason, except to acknowledge the group: that decides nothing yet."""
        answer = super().clean() or self.cleaned_data
        if answer.get("decision") != FailureGroupState.ACKNOWLEDGED and not answer.get("reason"):
            self.add_error("reason", self.fields["reason"].error_messages["required"])
        return answer

    def ignored_until(self, now: datetime) -> datetime | None:
        """Return the time at which an ignored group opens again; None for never."""
        days = self.cleaned_data["days"]
        ignored = self.cleaned_data["decision"] == FailureGroupState.IGNORED
        return now + timedelta(days=int(days)) if ignored and days else None


class FailureNotesForm(forms.Form):
    """The owner of a group, a note, and the known fix."""

    owner = forms.TypedChoiceField(label=_("Owner"), required=False, coerce=int, empty_value=None)
    note = forms.CharField(
        label=_("Note"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Don't include personal data: notes are stored longer than events."),
    )
    known_fix = forms.CharField(
        label=_("Known fix"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Shown instead of the general advice, also if the group fails again."),
    )

    def __init__(self, data: Any, group: FailureGroup) -> None:
        initial = {"owner": group.owner_id, "note": group.note, "known_fix": group.known_fix}
        super().__init__(data, initial=initial)
        staff = get_user_model()._default_manager.filter(is_staff=True, is_active=True)
        people = list(staff.order_by("username").values_list("pk", "username")[:MAX_OWNERS])
        # An owner who is no longer active stays selectable until the group gets another one.
        if group.owner is not None and group.owner_id not in dict(people):
            people.append((group.owner.pk, group.owner.get_username()))
        field = self.fields["owner"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("unassigned")), *people]

    def to_values(self) -> dict[str, Any]:
        """Return the values that `sync.operations.failure_decisions` stores."""
        answer = self.cleaned_data
        return {
            "owner_id": answer["owner"],
            "note": answer["note"].strip(),
            "known_fix": answer["known_fix"].strip(),
        }
