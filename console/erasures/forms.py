"""What is asked of a person who wants another one erased."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.base.forms import ReasonField
from console.erasures.words import ground_choices
from sync.erasure.requests import person
from sync.erasure.subject_data import Person
from webhooks.models import Source


class PersonForm(forms.Form):
    """Whose traces to look for. POSTed, so that an id stands in no address and no log of them."""

    entity_type = forms.CharField(
        max_length=64,
        initial="USER",
        label=_("Type of the entity"),
        help_text=_("As its events say it, for example USER."),
    )
    entity_id = forms.CharField(
        max_length=128,
        label=_("Id of the entity"),
        help_text=_("The whole id, as the identity service writes it. The page of an event has it."),
    )
    source = forms.ModelChoiceField(
        Source.objects.order_by("name"),
        required=False,
        empty_label=_("All sources"),
        label=_("Source"),
        help_text=_("With one source, also those that lead to the same identity service."),
    )

    def to_person(self) -> Person:
        found = self.cleaned_data["source"]
        source = None if found is None else found.pk
        return person(self.cleaned_data["entity_type"], self.cleaned_data["entity_id"], source)


class ErasureRequestForm(PersonForm):
    """Why, and on what legal ground."""

    ground = forms.ChoiceField(choices=ground_choices, label=_("Legal ground"))
    reason = ReasonField(
        label=_("Reason, kept with the erasure"),
        rows=4,
        help_text=_("What proves it, for example a letter and its date. Name no person."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in PersonForm.base_fields:  # what was looked at is what is asked for
            self.fields[name].widget = forms.HiddenInput()
