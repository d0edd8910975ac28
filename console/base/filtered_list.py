"""Read-only list with its filters as chips above the rows, and the rows as cards on a phone."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.text import capfirst

from console.base.read_only_admin import ReadOnlyAdmin
from console.ui.chips import FilterChip, FilterOption


class FilteredListAdmin(ReadOnlyAdmin):
    """Admin that shows Django's filters as chips. `empty_text` is shown for an empty table, `no_match_text` if no row
    matches the filters.
    """

    change_list_template = "console/base/filtered_list.html"
    empty_text: Any = ""
    no_match_text: Any = ""

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["console/lists.css"]})

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Move the filters from Django's side column to chips above the rows."""
        changelist: Any = super().get_changelist_instance(request)
        changelist.chips = list(_build_chips(changelist))
        changelist.has_filters = False
        return changelist

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        texts = {"empty_text": self.empty_text, "no_match_text": self.no_match_text}
        return super().changelist_view(request, {**texts, **(extra_context or {})})


def _build_chips(changelist: Any) -> Iterator[FilterChip]:
    """Build a chip for each filter of the changelist. Django's first choice of a filter is "All"."""
    for spec in changelist.filter_specs:
        everything, *others = spec.choices(changelist)
        choices = [
            FilterOption(capfirst(str(choice["display"])), choice["query_string"], choice["selected"])
            for choice in others
        ]
        chosen = next((choice.text for choice in choices if choice.is_chosen), "")
        yield FilterChip(
            spec.parameter_name, capfirst(spec.title), chosen, choices, everything["query_string"]
        )
