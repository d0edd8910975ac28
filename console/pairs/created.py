"""The page of a pair that was created: what to enter at the sender, the first webhook, and the way to go live."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.audit_trail import client_address, request_actor
from console.pairs.access import for_own_draft, render
from console.requests.source_summary import load_source_requests
from console.settings.routes.expected_changes import load_expected_changes
from logins.fresh_login import require_fresh_login
from sync.models import PairDraft, Route
from sync.pairs.planned_pair import SENDER
from webhooks.models import Event, Source
from webhooks.presets.source_presets import SOURCE_PRESETS
from webhooks.secret_rotation import RotationRefused, newest_secret_id, rotate_secret


class SenderSecretForm(forms.Form):
    """The secret that the sender made."""

    secret = forms.CharField(
        label=gettext_lazy("Secret of the sender"),
        strip=True,
        max_length=512,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "size": 60}),
    )


@for_own_draft
def created_view(request: HttpRequest, draft: PairDraft) -> HttpResponse:
    """Show what is left to do. A POST stores the secret that the sender made."""
    if draft.route is None:
        return redirect("admin:pair", draft.uuid)
    form = SenderSecretForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _lacks_secret(draft.route.source):
        require_fresh_login(request)
        try:
            _add_secret(request, draft.route.source, form.cleaned_data["secret"])
        except RotationRefused as refusal:
            form.add_error("secret", str(refusal))
        else:
            messages.success(request, _("The secret is active."))
            return redirect("admin:pair_created", draft.uuid)
    return render_created(request, draft, draft.route, form=form)


def render_created(
    request: HttpRequest,
    draft: PairDraft,
    route: Route,
    *,
    secret: str = "",
    form: SenderSecretForm | None = None,
) -> HttpResponse:
    """Render the page; once with the secret that the hub has just made."""
    preset = SOURCE_PRESETS.get(draft.parts.get(SENDER, {}).get("preset", ""))
    source = route.source
    events = Event.objects.filter(source=source, received_at__gte=draft.created_at)
    newest: Any = events.order_by("-received_at", "-pk").first()
    response = render(
        request,
        "created",
        str(route),
        draft=draft,
        route=route,
        source=source,
        connections=[route.identity, route.target],
        preset=preset,
        endpoint=request.build_absolute_uri(reverse("inbox", args=[source.slug])),
        secret=secret,
        secret_form=(form or SenderSecretForm()) if _lacks_secret(source) else None,
        newest=newest,
        requests=load_source_requests(request, source) if newest is None else None,
        expected=load_expected_changes(route, timezone.now()) if newest is not None else None,
    )
    # The page may show a secret: neither proxies nor the back button may keep it.
    add_never_cache_headers(response)
    return response


def _lacks_secret(source: Source) -> bool:
    return source.needs_secret and not source.live_secrets(timezone.now())


def _add_secret(request: HttpRequest, source: Source, typed: str) -> None:
    rotate_secret(
        source,
        typed=typed,
        hours=0,
        newest=newest_secret_id(source),
        reason=_("The secret that the sender made, entered on the page of the new pair."),
        actor=request_actor(request),
        address=client_address(request),
    )
