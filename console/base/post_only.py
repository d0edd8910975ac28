"""Decorator for views of buttons. Browsers open such addresses with GET after a login in between."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

P = ParamSpec("P")


def post_only(
    *, back_to: str, key: str = ""
) -> Callable[[Callable[P, HttpResponse]], Callable[P, HttpResponse]]:
    """Redirect any request but a POST to the page that has the button, without calling the view.

    `back_to` names that page; `key` is the view's parameter that its address takes. The page itself checks permissions.
    """

    def decorate(view: Callable[P, HttpResponse]) -> Callable[P, HttpResponse]:
        @wraps(view)
        def require_post(*args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            # The view may be a method, which gets `self` before the request.
            request = next(arg for arg in args if isinstance(arg, HttpRequest))
            if request.method == "POST":
                return view(*args, **kwargs)
            messages.warning(request, _("This action needs the button. Nothing was changed; press it again."))
            return redirect(back_to, *([kwargs[key]] if key else []))

        return require_post

    return decorate
