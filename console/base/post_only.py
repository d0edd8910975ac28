"""The address of a button, opened as a page: after a login that was asked for meanwhile a browser comes by GET."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.translation import gettext as _


def not_pressed(request: HttpRequest, page: str, *keys: Any) -> HttpResponseRedirect:
    """Back to the page that has the button."""
    messages.warning(request, _("Nothing was done: press the button again."))
    return redirect(page, *keys)
