"""The page that a person came from to save something, and to which saving leads back: `?then=<address>`."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

_PARAMETER = "then"


def lead_back(url: str, origin: str) -> str:
    """Return the address of a page that leads back to `origin` once something was saved there."""
    return f"{url}?{urlencode({_PARAMETER: origin})}"


def return_to_origin(request: HttpRequest, *, added: object = None) -> HttpResponseRedirect | None:
    """Redirect to the page that the person came from; it gets the key of what was added as `added`. None if they came
    from none, or the address is not one of the console.
    """
    origin = request.GET.get(_PARAMETER, "")
    is_own = url_has_allowed_host_and_scheme(origin, allowed_hosts=None) and "?" not in origin
    if not (is_own and origin.startswith(reverse("admin:index"))):
        return None
    return HttpResponseRedirect(origin if added is None else f"{origin}?{urlencode({'added': added})}")


def keep_origin(request: HttpRequest, url: str) -> str:
    """Return the address of the next step of a change, which leads back to the same page."""
    origin = request.GET.get(_PARAMETER, "")
    return lead_back(url, origin) if origin else url


def has_origin(request: HttpRequest) -> bool:
    """Return True if the person came from a page that saving leads back to."""
    return bool(request.GET.get(_PARAMETER))
