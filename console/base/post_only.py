"""Views of buttons. A browser opens their addresses as pages too: after a login that was asked for meanwhile."""

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
    """Answer all but a POST by the way back to the page that has the button, where nothing was done.

    `back_to` names that page; `key` is the parameter of the view that its address takes. The view is not called, so the
    page itself says who may not see it.
    """

    def decorate(view: Callable[P, HttpResponse]) -> Callable[P, HttpResponse]:
        @wraps(view)
        def press(*args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            request = next(each for each in args if isinstance(each, HttpRequest))
            if request.method == "POST":
                return view(*args, **kwargs)
            messages.warning(request, _("Nothing was done: press the button again."))
            return redirect(back_to, *([kwargs[key]] if key else []))

        return press

    return decorate
