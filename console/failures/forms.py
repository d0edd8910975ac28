"""Forms of a failure group."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.base.forms import ReasonField
from sync.models import FailureGroup, FailureGroupState

MAX_OWNERS = 200
MAX_REASON = 500
# The form of the page that has all buttons; fields elsewhere on the page belong to it by this id.
GROUP_FORM_ID = "group-form"
IGNORE_PERIODS = {
    "1": _("for a day"),
    "7": _("for a week"),
    "30": _("for 30 days"),
    "": _("indefinitely"),
}


class FailureDecisionForm(forms.Form):
    """The new state of a group, and the reason."""

    decision = forms.ChoiceField(choices=FailureGroupState.choices)
    days = forms.ChoiceField(label=_("Ignore for"), choices=list(IGNORE_PERIODS.items()), required=False)
    reason = ReasonField(
        label=_("Reason"),
        max_length=MAX_REASON,
        required=False,
        help_text=_("Stored with your name. Optional when you assign the group to yourself."),
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


def validate_ticket_url(value: str) -> None:
    """Refuse what is no complete address of a web page, or contains a password. Raises ValidationError."""
    text = _("Enter the complete address of a web page. It begins with https:// or http://.")
    URLValidator(schemes=["https", "http"], message=text)(value)
    if "@" in urlsplit(value).netloc:
        raise ValidationError(_("Enter the address without a user name and password."))


class FailureNotesForm(forms.Form):
    """The owner of a group, a note, the known fix, and the address of the ticket.

    Every button of the group's page sends these fields, so that no typed text is lost. Hidden fields say what the page
    showed: only what the person changed is saved, and only if no one else has changed it since.
    """

    owner = forms.TypedChoiceField(
        label=_("Owner"), required=False, coerce=int, empty_value=None, show_hidden_initial=True
    )
    note = forms.CharField(
        label=_("Note"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Don't include personal data: notes are stored longer than events."),
        show_hidden_initial=True,
    )
    known_fix = forms.CharField(
        label=_("Known fix"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Shown instead of the general advice, also if the group fails again."),
        show_hidden_initial=True,
    )
    ticket_url = forms.CharField(
        label=_("Ticket"),
        max_length=300,
        required=False,
        widget=forms.URLInput,
        validators=[validate_ticket_url],
        help_text=_("The address of its page, for example https://tickets.example.com/4711."),
        show_hidden_initial=True,
    )

    def __init__(self, data: Any, group: FailureGroup) -> None:
        names = ("note", "known_fix", "ticket_url")
        initial = {"owner": group.owner_id, **{name: getattr(group, name) for name in names}}
        super().__init__(data, initial=initial)
        staff = get_user_model()._default_manager.filter(is_staff=True, is_active=True)
        people = list(staff.order_by("username").values_list("pk", "username")[:MAX_OWNERS])
        # An owner who is no longer active stays selectable until the group gets another one.
        if group.owner is not None and group.owner_id not in dict(people):
            people.append((group.owner.pk, group.owner.get_username()))
        field = self.fields["owner"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("unassigned")), *people]
        self._owner_names: dict[int | None, str] = {None: gettext("unassigned"), **dict(people)}
        for field in self.fields.values():
            field.widget.attrs["form"] = GROUP_FORM_ID

    def clean(self) -> dict[str, Any]:
        """Refuse a changed field that someone else changed after the page was opened."""
        answer = super().clean() or self.cleaned_data
        for name in self.changed_data:
            current = _as_sent(self.initial[name])
            if name in answer and current not in (self._shown_value(name), _as_sent(answer[name])):
                self.add_error(name, self._conflict_text(name, current))
        return answer

    def _shown_value(self, name: str) -> str:
        return _as_sent(self.data.get(self.add_initial_prefix(name), ""))

    def _conflict_text(self, name: str, current: str) -> str:
        if name == "owner":
            current = self._owner_names.get(self.initial[name], current)
        text = gettext(
            "Someone else changed this while you had the page open. It is now: “%(current)s”. To replace it, save "
            "again."
        )
        return text % {"current": current}

    def to_values(self) -> dict[str, Any]:
        """Return the changed values, as `sync.operations.failure_decisions` stores them."""
        return {
            "owner_id" if name == "owner" else name: self.cleaned_data[name] for name in self.changed_data
        }


def _as_sent(value: Any) -> str:
    """Return a value as a browser sends it, with single line feeds and without spaces around it."""
    return "" if value is None else str(value).replace("\r\n", "\n").strip()


def posted_reason(request: HttpRequest) -> str:
    """Return the reason that was typed, to show it again or on the next page; cut to the length of the field."""
    return " ".join(request.POST.get("reason", "").split())[:MAX_REASON]
