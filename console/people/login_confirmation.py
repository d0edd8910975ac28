"""Ask for the password before an act that needs a fresh log-in, then go on with what the person sent.

The page has the address of the request that needs it, so that a correct password leads straight to its answer. A form
that was sent waits in the session, encrypted: the page does not carry what was typed, and the person types it once.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.audit_trail import record_action, request_actor
from console.base.forms import parse_uuid_or_none
from console.base.pending_store import PendingChangeStore
from console.people.logins import check_own_password
from logins.fresh_login import FRESH_SECONDS, mark_fresh

_SENT_FORMS = PendingChangeStore("forms_before_login", max_values=3)
# No form of the console has fields with these names.
_KEY, _PASSWORD, _BACK = "confirm_login", "confirm_password", "confirm_back"


class PasswordForm(forms.Form):
    """Form for one's own password. `error`: what was wrong with the one that was sent."""

    confirm_password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )

    def __init__(self, *args: Any, error: forms.ValidationError | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._error = error

    def clean_confirm_password(self) -> str:
        if self._error is not None and self._error.code == "login_refused":
            raise self._error
        if self._error is not None:
            raise forms.ValidationError(_("The password is incorrect. Enter it again."))
        return str(self.cleaned_data["confirm_password"])


def ask_for_password(request: HttpRequest, context: Mapping[str, Any]) -> HttpResponse:
    """Return the page that asks for the password. A form that was sent is stored for 15 minutes."""
    key = ""
    if request.method == "POST":
        key = str(_SENT_FORMS.put_change(request, request.get_full_path(), request.POST))
    return _render(request, context, PasswordForm(), key, request.headers.get("Referer", ""))


def confirm_login(request: HttpRequest, context: Callable[[], Mapping[str, Any]]) -> HttpResponse | None:
    """Check the password if this request answers `ask_for_password`.

    Returns None to go on: with the form that waited, as the POST of this request, or with a request that is no such
    answer. Otherwise returns the page with the error, or a redirect to the page that was asked for.
    """
    if request.method != "POST" or _KEY not in request.POST:
        return None
    answer = request.POST
    form = PasswordForm(answer, error=check_own_password(request, _PASSWORD))
    if not form.is_valid():
        return _render(request, context(), form, answer[_KEY], answer.get(_BACK, ""))
    _record_confirmation(request)
    return _restore_form(request, answer[_KEY])


def _record_confirmation(request: HttpRequest) -> None:
    with transaction.atomic():
        record_action(request, request_actor(request), "person.login-confirmed")
    # Whoever has copied the cookie stays as they were: without a fresh log-in.
    request.session.cycle_key()
    mark_fresh(request.session)


def _restore_form(request: HttpRequest, sent_key: str) -> HttpResponse | None:
    """Make the form that waited the POST of this request. Returns a redirect if there is none."""
    key = parse_uuid_or_none(sent_key)
    sent = _SENT_FORMS.get_change(request, request.get_full_path(), key) if key else None
    if key and sent is None:
        messages.error(request, _("What you sent before has expired. Nothing was changed; enter it again."))
    if key is None or sent is None:
        return redirect(request.get_full_path())
    _SENT_FORMS.remove(request, key)
    request.POST = sent  # type: ignore[assignment]
    return None


def _render(
    request: HttpRequest, context: Mapping[str, Any], form: PasswordForm, key: str, back: str
) -> HttpResponse:
    is_own = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    shared = {
        **context,
        "title": _("Enter your password again"),
        "minutes": FRESH_SECONDS // 60,
        "form": form,
        "key": key,
        "back": back if is_own else reverse("admin:index"),
    }
    response = TemplateResponse(request, "console/people/confirm_login.html", shared)
    if form.has_error("confirm_password", "login_refused"):
        response.status_code = 429
    add_never_cache_headers(response)
    return response
