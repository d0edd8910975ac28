"""Forms of an erasure request."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.base.forms import ReasonField
from console.erasures.words import ground_choices
from sync.erasure.case_number import MAX_LENGTH
from sync.erasure.requests import find_subject
from sync.erasure.subject_data import ErasureSubject
from webhooks.models import Source


class PersonForm(forms.Form):
    """The person whose data is looked for. It is sent by POST, so that no id is in an address or an access log."""

    entity_type = forms.CharField(
        max_length=64,
        initial="USER",
        label=_("Entity type"),
        help_text=_("As shown on its events, for example USER."),
    )
    entity_id = forms.CharField(
        max_length=128,
        label=_("Entity id"),
        help_text=_(
            "The complete id, as the identity service writes it. It is shown on the page of an event."
        ),
    )
    source = forms.ModelChoiceField(
        Source.objects.order_by("name"),
        required=False,
        empty_label=_("All sources"),
        label=_("Source"),
        help_text=_("If you choose one source, all sources of the same identity service are included."),
    )

    def to_person(self) -> ErasureSubject:
        source = self.cleaned_data["source"]
        source_pk = None if source is None else source.pk
        return find_subject(self.cleaned_data["entity_type"], self.cleaned_data["entity_id"], source_pk)


class ErasureRequestForm(PersonForm):
    """Legal ground, case number and reason of the erasure of the person that was looked for."""

    ground = forms.ChoiceField(choices=ground_choices, label=_("Legal ground"))
    case_number = forms.CharField(
        required=False,
        max_length=MAX_LENGTH,
        label=_("Case number"),
        help_text=_(
            "For example GDPR-2026-117. It stays with the erasure and in the audit log, so it must not name the person."
        ),
    )
    reason = ReasonField(
        label=_("Reason (stored with the erasure)"),
        rows=4,
        help_text=_(
            "What proves the request, for example a letter and its date. Don't include personal data."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Hidden, so that the request is for the person that was looked for.
        for name in PersonForm.base_fields:
            self.fields[name].widget = forms.HiddenInput()
