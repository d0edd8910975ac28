"""Django's lists of evidence with their filters as chips above the rows, and the rows as cards on a phone."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.text import capfirst

from console.base.read_only_admin import ReadOnlyAdmin
from console.ui.chips import FilterChip, FilterOption


class FilteredListAdmin(ReadOnlyAdmin):
    """`empty_text` is what the list says where there is no row at all, `no_match_text` where filters leave none."""

    change_list_template = "console/base/filtered_list.html"
    empty_text: Any = ""
    no_match_text: Any = ""

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["console/lists.css"]})

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Without Django's column of filters, which would take the place of rows."""
        found: Any = super().get_changelist_instance(request)
        found.chips = list(_build_chips(found))
        found.has_filters = False
        return found

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        said = {"empty_text": self.empty_text, "no_match_text": self.no_match_text}
        return super().changelist_view(request, {**said, **(extra_context or {})})


def _build_chips(changelist: Any) -> Iterator[FilterChip]:
    """Of what Django offers for each filter: the first choice is the list without it."""
    for spec in changelist.filter_specs:
        everything, *others = spec.choices(changelist)
        choices = [
            FilterOption(capfirst(str(each["display"])), each["query_string"], each["selected"])
            for each in others
        ]
        chosen = next((each.text for each in choices if each.is_chosen), "")
        yield FilterChip(
            spec.parameter_name, capfirst(spec.title), chosen, choices, everything["query_string"]
        )
