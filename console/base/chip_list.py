"""Django's lists of evidence with their filters as chips above the rows, and the rows as cards on a phone."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.text import capfirst

from console.base.read_only import EvidenceAdmin
from console.ui.chips import Chip, Choice


class ChipListAdmin(EvidenceAdmin):
    """`nothing_yet` is what the list says where there is no row at all, `nothing_found` where filters leave none."""

    change_list_template = "console/base/chip_list.html"
    nothing_yet: Any = ""
    nothing_found: Any = ""

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["console/lists.css"]})

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Without Django's column of filters, which would take the place of rows."""
        found: Any = super().get_changelist_instance(request)
        found.chips = list(_chips(found))
        found.has_filters = False
        return found

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        said = {"nothing_yet": self.nothing_yet, "nothing_found": self.nothing_found}
        return super().changelist_view(request, {**said, **(extra_context or {})})


def _chips(found: Any) -> Iterator[Chip]:
    """Of what Django offers for each filter: the first choice is the list without it."""
    for spec in found.filter_specs:
        everything, *others = spec.choices(found)
        choices = [
            Choice(capfirst(str(each["display"])), each["query_string"], each["selected"]) for each in others
        ]
        chosen = next((each.text for each in choices if each.is_chosen), "")
        yield Chip(spec.parameter_name, capfirst(spec.title), chosen, choices, everything["query_string"])
