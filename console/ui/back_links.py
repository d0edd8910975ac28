"""Links back to the list that a person came from, with its filters."""

from urllib.parse import urlsplit

from django.http import HttpRequest
from django.urls import reverse

from console.navigation import MENU, Text, page_name


def link_to_list(request: HttpRequest, url_name: str, query: str = "", name: Text = "") -> tuple[str, Text]:
    """Return address and name of the list for a back link: the one that the browser came from, if it is in the menu.

    Otherwise the list `url_name`, with `query`. Browsers name the page before in `Referer`; only its query is taken.
    """
    try:
        before = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        before = urlsplit("")
    if before.netloc == request.get_host():
        for entry in (entry for _, entries in MENU for entry in entries):
            if entry.url_name.endswith("_changelist") and before.path == reverse(entry.url_name):
                return f"{before.path}?{before.query}" if before.query else before.path, entry.name
    return reverse(url_name) + query, name or page_name(url_name)
