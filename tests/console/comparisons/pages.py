"""Addresses of the pages of comparisons."""

from sync.models import Comparison, Route

LIST = "/admin/sync/comparison/"


def page_of_pair(route: Route) -> str:
    return f"{LIST}route/{route.pk}/"


def page_of(comparison: Comparison) -> str:
    return f"{LIST}{comparison.uuid}/change/"
