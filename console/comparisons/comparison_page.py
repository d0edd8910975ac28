"""The page of one comparison: its result, its differences, and what can be made equal."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from console.base.downloads import download_buttons
from console.comparisons.difference_list import build_difference_list
from console.comparisons.make_equal import choosable_kinds, equal_choices
from console.comparisons.pair_page import describe_running
from console.comparisons.result import describe_result
from console.comparisons.words import failure_texts, pair_name
from exports.list_export import DIFFERENCE_EXPORT
from sync.comparisons.requests import latest_comparison
from sync.models import Comparison, ComparisonState


def comparison_context(request: HttpRequest, comparison: Comparison) -> dict[str, Any]:
    """Return the context of the page. Only one that reached its end has a result."""
    return {
        "title": _("Comparison of %(pair)s") % {"pair": pair_name(comparison)},
        "pair": pair_name(comparison),
        "comparison": comparison,
        "running": describe_running(comparison) if comparison.is_open else None,
        "failure": failure_texts(comparison) if comparison.state == ComparisonState.FAILED else None,
        **(_result_context(request, comparison) if comparison.state == ComparisonState.DONE else {}),
    }


def _result_context(request: HttpRequest, comparison: Comparison) -> dict[str, Any]:
    newest = latest_comparison(comparison.route)
    is_newest = newest is not None and newest.pk == comparison.pk
    equal = equal_choices(request, comparison) if is_newest else None
    page = build_difference_list(request, comparison, choosable_kinds(equal, request.GET.get("kind", "")))
    return {
        "result": describe_result(comparison),
        "newer": None if is_newest else newest,
        "equal": equal,
        "page": page,
        # Rows are stored of the two newest comparisons.
        "has_rows": bool(page.rows or page.is_filtered) or not comparison.difference_count,
        "download_buttons": download_buttons(request, DIFFERENCE_EXPORT),
    }
